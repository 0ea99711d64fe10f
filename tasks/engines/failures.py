"""What an engine raises, as an error of ours with the engine's own words. Engines raise any type."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.checkpoint.reasons import reason
from tasks.errors import HallmarkError
from tasks.host.shortage import SHORT_OF_MEMORY


@contextmanager
def engine_at_work(failed: Callable[[str], HallmarkError], *passed: type[Exception]) -> Iterator[None]:
    """Raise `failed(words)` for what an engine raises in the block.

    passed: types that are left as they are, as errors of ours are.

    Raises MemoryError where the engine got no memory.
    """
    try:
        yield
    except (HallmarkError, MemoryError):
        raise
    except passed:
        raise
    except Exception as error:
        words = reason(str(error)).rstrip(".") or type(error).__name__
        if SHORT_OF_MEMORY.search(str(error)):
            raise MemoryError(words) from error
        raise failed(words) from error
