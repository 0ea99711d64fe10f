"""File locks (flock) that the kernel releases when their holder dies, however it dies.

    with exclusive_lock(path):          waits; one holder
        ...
    with shared_lock(path):             waits; any number of holders, and no exclusive one
        ...
    with try_lock(path) as locked:      does not wait; `locked` says whether the lock was free
        ...

The holder of an exclusive lock may remove the lock's file. Whoever gets a lock therefore checks that its file is still
the one at the path, and begins anew if it is not: two processes never hold what they take for the same lock.

This module imports the standard library only, because the set-up uses it before anything is installed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made with its folder where it is missing; wait while it is held.

    `on_wait` is called once, before the wait.
    """
    with _wait(path, fcntl.LOCK_EX, on_wait):
        yield


@contextmanager
def shared_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of the file `path` together with other shared holders; wait while an exclusive holder has it.

    `on_wait` is called once, before the wait.
    """
    with _wait(path, fcntl.LOCK_SH, on_wait):
        yield


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of the file `path` if it is free, and yield whether it is held.

    A lock whose folder is missing cannot be held: nothing is made, and False is yielded.
    """
    lock = _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        yield False
        return
    with lock:
        yield True


def _wait(path: Path, operation: int, on_wait: Callable[[], None] | None) -> IO[bytes]:
    lock = None
    if on_wait is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire(path, operation | fcntl.LOCK_NB)
        if lock is None:
            on_wait()
    while lock is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire(path, operation)
    return lock


def _acquire(path: Path, operation: int) -> IO[bytes] | None:
    """Return the locked file; None where another holds the lock, or where the file or its folder was removed."""
    try:
        lock = _open(path)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, operation)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    lock.close()
    return None


def _open(path: Path) -> IO[bytes]:
    """Open the file of a lock. It is made where it is missing."""
    # On NFS a shared lock needs a file open for reading, an exclusive one a file open for writing: flock(2).
    try:
        return path.open("a+b")
    except PermissionError:
        # Another user's file. On a local disk reading suffices for every lock.
        return path.open("rb")
