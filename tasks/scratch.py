"""Scratch folders: each belongs to one living process; what a killed one left is swept by the next."""

import fcntl
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder below `root`, removed at the end; first sweeps those whose process is gone."""
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / secrets.token_hex(8)
    lock_path = root / f"{folder.name}.lock"
    with lock_path.open("ab") as lock:
        # The kernel drops this lock when the process dies, however it dies.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


def _sweep(root: Path) -> None:
    for lock_path in root.glob("*.lock"):
        with lock_path.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock_path.with_suffix(""), ignore_errors=True)
            lock_path.unlink(missing_ok=True)
