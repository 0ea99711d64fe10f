"""Errors of a file system that no retry changes, each with who must do what."""

import errno

from tasks.errors import AccessDenied, InvalidRecipe, TerminalError

NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS}
"""What link(2) answers on file systems without hard links, between two mounts, and, as EPERM, for a file of another
user where the kernel protects hard links."""

UNABLE = {errno.ENAMETOOLONG, errno.EFBIG, errno.EILSEQ, errno.EOPNOTSUPP, errno.ENOTDIR}
"""Names, sizes or calls that a file system does not have, and a path that leads through a file."""


def refusal(error: OSError, begins: str) -> TerminalError | None:
    """Return our error for one that no retry changes, and None for one that may pass.

    begins: what failed, as the beginning of the message.
    """
    if error.errno == errno.EROFS:
        return AccessDenied(
            f"{begins} ({error}); its file system is mounted read-only, as after a fault of the disk: mount it for "
            "writing, and clear the task."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(f"{begins} ({error}); check the folder's owner and mode.")
    if error.errno in UNABLE:
        limit = ", or raise the limit of the user (ulimit -f)" if error.errno == errno.EFBIG else ""
        return InvalidRecipe(f"{begins} ({error}); name another folder, on a file system that takes this{limit}.")
    return None
