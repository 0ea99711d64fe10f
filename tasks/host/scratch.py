"""Scratch folders: one for each task, removed at its end, or by the next task if its process was killed.

Beside the folder `<name>` lies its lock `<name>.lock`. The process holds the lock as long as it lives.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.host.file_lock import exclusive_lock, try_lock


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder below `root`, and remove it at the end; first remove the folders of dead processes."""
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / secrets.token_hex(8)
    lock = _lock(root, folder.name)
    with exclusive_lock(lock):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def is_held(root: Path, name: str) -> bool:
    """Whether the process that made the scratch folder `name` still lives and uses it."""
    lock = _lock(root, name)
    if not lock.exists():
        return False
    with try_lock(lock) as free:
        return not free


def _lock(root: Path, name: str) -> Path:
    return root / f"{name}.lock"


def _sweep(root: Path) -> None:
    for lock in root.glob("*.lock"):
        with try_lock(lock) as free:
            if free:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
