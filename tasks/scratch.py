"""Scratch folders: each belongs to one living process; what a killed one left is swept by the next."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder below `root`, removed at the end; first sweeps those whose process is gone."""
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / secrets.token_hex(8)
    lock_path = _lock_path(root, folder.name)
    # The kernel drops this lock when the process dies, however it dies.
    with _locked(lock_path):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def is_held(root: Path, name: str) -> bool:
    """Whether the process that made the scratch folder `name` still lives and has it."""
    try:
        lock = _lock_path(root, name).open("rb")
    except FileNotFoundError:
        return False
    with lock:
        return not _take(lock, fcntl.LOCK_SH)


def _lock_path(root: Path, name: str) -> Path:
    return root / f"{name}.lock"


def _locked(path: Path) -> IO[bytes]:
    """Return the lock, held; anew where a sweep took it for a dead process's before it was held."""
    while True:
        lock = path.open("ab")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(path, lock):
            return lock
        lock.close()


def _take(lock: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, lock: IO[bytes]) -> bool:
    """Whether the open file is still the one that has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _sweep(root: Path) -> None:
    for lock_path in root.glob("*.lock"):
        with lock_path.open("ab") as lock:
            if _take(lock, fcntl.LOCK_EX) and _is_at(lock_path, lock):
                shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
                lock_path.unlink(missing_ok=True)
