"""Removes the folders of jobs that ended long ago."""

import secrets
import shutil
import time
from pathlib import Path

from operators.local_job import LocalJob
from tasks.host.file_lock import try_lock

KEPT_DAYS = 14
"""For so long a person can read the log of a failed job."""


def sweep_jobs(root: Path) -> None:
    """Remove the folders below `root` that did not change for KEPT_DAYS, where no job runs and no task watches one."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for folder in root.glob("*"):
        if folder.name.startswith("."):
            # A sweep that was killed left it.
            shutil.rmtree(folder, ignore_errors=True)
        elif _changed(folder) < oldest:
            with try_lock(folder / "lock") as free:
                if free and LocalJob(folder).status() != "running":
                    _remove(folder, root / f".{secrets.token_hex(8)}")


def _remove(folder: Path, going: Path) -> None:
    with try_lock(folder / "watched") as unwatched:
        if unwatched:
            # In one step: a task that starts the job again finds no folder or a new one.
            shutil.rmtree(folder.rename(going), ignore_errors=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()
