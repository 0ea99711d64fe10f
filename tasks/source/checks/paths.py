"""Checks that every file of a snapshot is a plain file, and not a symbolic link or a device."""

import stat

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import FETCH_AGAIN, Corrupt
from tasks.source.parameters import ScanParameters


def check_paths(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt for a link, which could lead to a file that was not verified, and for a device."""
    count = 0
    for path in snapshot.paths():
        mode = (snapshot.folder / path).lstat().st_mode
        if stat.S_ISLNK(mode):
            raise Corrupt(f"{path} is a symbolic link, and a snapshot has only plain files; {FETCH_AGAIN}.")
        if not stat.S_ISREG(mode):
            raise Corrupt(f"{path} is not a plain file; {FETCH_AGAIN}.")
        count += 1
    return f"{count} plain files", True
