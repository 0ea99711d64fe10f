"""Full disks and missing memory, reported as such.

Libraries and foreign tools report them in their own words, or not at all. `reporting_shortage` looks at the error and
at the disk, and raises DiskFull or OutOfMemory with the file, the numbers and the setting that helps.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import DiskFull, OutOfMemory
from tasks.host.facts import free_disk_bytes
from tasks.settings import home

SHORT_OF_MEMORY = re.compile(
    r"memory allocation|bad_alloc|MemoryError|[Cc]annot allocate|[Oo]ut of memory|[Ff]ailed to allocate"
)
"""How libraries say that they got no memory."""

FULL_BYTES = 1024**2
"""A disk with less free space counts as full: some writers report no error, and none gets far with so little."""

FIX_MEMORY = "; run it on a host with more memory, or while fewer other processes run."
FIX_STATE = "free some, or set HALLMARK_HOME to a folder on a larger disk, and clear the task"
FIX_STORE = "free some, or name a store on a larger disk in HALLMARK_STORE, and clear the task"
FIX_CACHE = "free some, or lower cache_bytes under [host] in settings.toml, and clear the task"


@contextmanager
def reporting_shortage(*folders: Path) -> Iterator[None]:
    """Raise DiskFull or OutOfMemory for an error in the block that a full disk or missing memory caused.

    folders: where the block writes, on the disk of the state folder; the message names the file last written there.
    """
    try:
        yield
    except (DiskFull, OutOfMemory):
        raise
    except Exception as error:
        if is_disk_full(error) or free_disk_bytes() < FULL_BYTES:
            raise disk_full(home(), _last_written(folders)) from error
        if isinstance(error, MemoryError) or _is(error, errno.ENOMEM):
            raise OutOfMemory(
                f"The task did not get the memory it asked for: {_last_line(error)}{FIX_MEMORY}"
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that a disk or its quota is full."""
    return _is(error, errno.ENOSPC) or _is(error, errno.EDQUOT)


def disk_full(folder: Path, writing: str, needed_bytes: int | None = None, fix: str = FIX_STATE) -> DiskFull:
    """Return the error for a full disk: that of `folder`, while `writing` was written to it."""
    needs = "" if needed_bytes is None else f", which needs {megabytes(needed_bytes)}"
    free = megabytes(free_disk_bytes(folder))
    return DiskFull(f"The disk of {folder} was full, with {free} free, while {writing} was written{needs}; {fix}.")


def megabytes(size: int) -> str:
    """Return a size in MB or GB, in powers of 1000, to be shown."""
    return f"{size / 1e6:.1f} MB" if size < 10**9 else f"{size / 1e9:.2f} GB"


def _is(error: BaseException | None, number: int) -> bool:
    """Whether an error, or one that caused it, has this errno, or the system's text for it in its message."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _last_written(folders: Sequence[Path]) -> str:
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        if files:
            last = max(files, key=lambda path: path.stat().st_mtime_ns)
            return f"{last.name} ({megabytes(last.stat().st_size)} so far)"
    return "its first file"


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
