"""One process at a time for each thing that is built, with a message for whoever waits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.setup.steps import tell
from tasks.host import file_lock


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold the lock of the file `lock`; wait, and say so once, while another process builds `what`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if not held.enter_context(file_lock.try_lock(lock)):
            tell(f"{what}: waiting for another process that makes it ...")
            held.enter_context(file_lock.exclusive_lock(lock))
        yield
