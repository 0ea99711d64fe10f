"""One process at a time: a lock that the kernel lets go of when its holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.setup.steps import tell


@contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Hold the file lock `lock`, waiting (and saying so once) while another process makes `what`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"{what}: waiting for another process that makes it ...")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
