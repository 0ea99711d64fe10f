"""Job folders do not pile up: those of jobs long over are removed."""

import secrets
import shutil
import time
from pathlib import Path

from operators.local_job import JobProcess
from tasks.host.file_lock import try_lock

KEPT_DAYS = 14
"""Long enough to look into the log of a failure."""


def sweep_jobs(root: Path) -> None:
    """Remove the folders below `root` unchanged for KEPT_DAYS whose job does not run and that nobody watches."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for folder in root.glob("*"):
        if folder.name.startswith("."):
            # What a sweep that was killed has left.
            shutil.rmtree(folder, ignore_errors=True)
        elif _changed(folder) < oldest:
            with try_lock(folder / "lock") as free:
                if free and not _runs(folder):
                    _remove(folder, root / f".{secrets.token_hex(8)}")


def _remove(folder: Path, going: Path) -> None:
    with try_lock(folder / "watched") as unwatched:
        if unwatched:
            # In one step, so that whoever starts the job anew finds either no folder or a new one.
            shutil.rmtree(folder.rename(going), ignore_errors=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _runs(folder: Path) -> bool:
    try:
        return JobProcess.from_json((folder / "job.json").read_bytes()).alive()
    except (FileNotFoundError, ValueError):
        return False
