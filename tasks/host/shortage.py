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
from tasks.host.facts import disk_root, free_disk_bytes, same_disk
from tasks.settings import home

SHORT_OF_MEMORY = re.compile(
    r"[Mm]emory allocation.{0,40}fail|[Ff]ailed memory allocation|bad_alloc|MemoryError|[Cc]annot allocate"
    r"|[Oo]ut of memory|[Ff]ailed to allocate|[Uu]nable to allocate|[Ii]nsufficient memory"
)
"""How libraries say that they got no memory."""

FULL_BYTES = 1024**2
"""A disk with less free space counts as full: some writers report no error, and none gets far with so little."""

FIX_MEMORY = "; run it on a host with more memory, or while fewer other processes run."
FIX_STATE = "free some, or set HALLMARK_HOME to a folder on a larger disk, and clear the task"
FIX_STORE = "free some, or name a store on a larger disk in HALLMARK_STORE, and clear the task"
FIX_CACHE = "free some, or lower cache_bytes under [host] in settings.toml, and clear the task"
FIX_TEMPORARY = "free some, or set TMPDIR to a folder on a larger disk, and clear the task"
FIX_OTHER = "free some there, and clear the task"


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
        if is_disk_full(error):
            raise disk_full_by(error, _last_written(folders)) from error
        if free_disk_bytes() < FULL_BYTES:
            raise disk_full(home(), _last_written(folders)) from error
        if isinstance(error, MemoryError) or _says(error, errno.ENOMEM):
            raise OutOfMemory(
                f"The task did not get the memory it asked for: {_last_line(error)}{FIX_MEMORY}"
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that a disk or its quota is full."""
    return any(_says(error, number) for number in (errno.ENOSPC, errno.EDQUOT))


def disk_full_by(error: BaseException, writing: str) -> DiskFull:
    """Return the DiskFull for an error of which `is_disk_full` is true, while `writing` was written.

    The disk is that of the file that the error names. A failed write names none: then it is the one without space, of
    the disk of the state folder and that of temporary files. If both have some, the error's own words are quoted.
    """
    cause = _says(error, errno.ENOSPC) or _says(error, errno.EDQUOT) or error
    temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 (nothing is written there)
    if isinstance(cause, OSError) and isinstance(cause.filename, str):
        file = Path(cause.filename).absolute()
        if same_disk(file, home()):
            return disk_full(home(), str(file), error=error)
        fix = FIX_TEMPORARY if file.is_relative_to(temporary) else FIX_OTHER
        return disk_full(disk_root(file), str(file), fix=fix, error=error)
    if free_disk_bytes() >= FULL_BYTES:
        if free_disk_bytes(temporary) < FULL_BYTES:
            return disk_full(disk_root(temporary), "a temporary file", fix=FIX_TEMPORARY, error=error)
        writing = f"{writing} ({_words(cause)})"
    return disk_full(home(), writing, error=error)


def disk_full(
    folder: Path,
    writing: str,
    needed_bytes: int | None = None,
    fix: str = FIX_STATE,
    error: BaseException | None = None,
) -> DiskFull:
    """Return the error for a full disk: that of `folder`, while `writing` was written to it.

    error: what was raised; it may say that not the disk is full, but the user's quota on it.
    """
    needs = "" if needed_bytes is None else f", which needs {megabytes(needed_bytes)}"
    while_writing = f"while {writing} was written{needs}; {fix}."
    if error is not None and _says(error, errno.EDQUOT):
        return DiskFull(f"The user's quota on the disk of {folder} was used up {while_writing}")
    return DiskFull(f"The disk of {folder} was full, with {megabytes(free_disk_bytes(folder))} free, {while_writing}")


def megabytes(size: int) -> str:
    """Return a size in MB or GB, in powers of 1000, to be shown."""
    return f"{size / 1e6:.1f} MB" if size < 10**9 else f"{size / 1e9:.2f} GB"


def _says(error: BaseException | None, number: int) -> BaseException | None:
    """Return the error, or one that caused it, that has this errno or the system's text for it in its message."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def _last_written(folders: Sequence[Path]) -> str:
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        if files:
            last = max(files, key=lambda path: path.stat().st_mtime_ns)
            return f"{last.name} ({megabytes(last.stat().st_size)} so far)"
    return "its first file"


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _words(error: BaseException) -> str:
    """Return the line of an error's message that speaks of a full disk or quota, else the last one."""
    texts = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
    lines = [line.strip() for line in str(error).splitlines() if any(text in line for text in texts)]
    return lines[0] if lines else _last_line(error)
