"""A lock for each thing that is built or installed, so that only one process does it at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.setup.steps import report
from tasks.host import file_lock


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold the lock of the file `lock`. While another process holds it, report once that `what` waits, and wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if not held.enter_context(file_lock.try_lock(lock)):
            report(f"{what}: waiting for another process that builds it ...")
            held.enter_context(file_lock.exclusive_lock(lock))
        yield
