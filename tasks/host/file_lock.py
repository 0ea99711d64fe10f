"""File locks that the kernel drops when their holder dies, however it dies.

A lock's file may be removed by who holds the lock. So who gets a lock looks whether its file is still the one at the
path, and begins anew where it is not: two can never hold what they take for the same lock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`, made with its folder where it is missing; waits while another has it."""
    with _awaited(path, fcntl.LOCK_EX):
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path` together with others; waits while one has it for itself alone."""
    with _awaited(path, fcntl.LOCK_SH):
        yield


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of the file `path` if nobody else does; says whether it is held."""
    lock = _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        yield False
        return
    with lock:
        yield True


def _awaited(path: Path, how: int) -> IO[bytes]:
    lock = None
    while lock is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _held(path, how)
    return lock


def _held(path: Path, how: int) -> IO[bytes] | None:
    """The file with its lock; None where another has the lock, or where the file or its folder was removed."""
    try:
        lock = path.open("ab")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, how)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()
    return None
