"""No file of a snapshot may be a symbolic link, or anything else than a plain file."""

import stat

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters


def check_paths(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt for a link, which could show another file than the one that was verified, and for a device."""
    count = 0
    for path in snapshot.paths():
        mode = (snapshot.folder / path).lstat().st_mode
        if stat.S_ISLNK(mode):
            raise Corrupt(f"{path} is a symbolic link; a snapshot consists of plain files. Fetch it again.")
        if not stat.S_ISREG(mode):
            raise Corrupt(f"{path} is no plain file; fetch the snapshot again.")
        count += 1
    return f"{count} plain files", True
