"""A fault of a file system that stays is terminal, in its own words, with the right thing to do."""

import errno
import os

import pytest

from tasks.errors import AccessDenied, InvalidRecipe
from tasks.host.refusals import refusal


@pytest.mark.parametrize(
    ("number", "kind", "help"),
    [
        (errno.EACCES, AccessDenied, "check the folder's owner and mode."),
        (errno.EPERM, AccessDenied, "check the folder's owner and mode."),
        (errno.EROFS, AccessDenied, "mounted read-only, as after a fault of the disk: mount it for writing, and clear"),
        (errno.ENAMETOOLONG, InvalidRecipe, "name another folder, on a file system that takes this."),
        (errno.EFBIG, InvalidRecipe, "takes this, or raise the limit of the user (ulimit -f)."),
        (errno.ENOTDIR, InvalidRecipe, "name another folder, on a file system that takes this."),
    ],
)
def test_what_stays_is_told_with_its_words(number: int, kind: type[Exception], help: str) -> None:
    said = refusal(OSError(number, os.strerror(number), "/a"), "The store did not take a")
    assert isinstance(said, kind)
    assert str(said).startswith(f"The store did not take a ([Errno {number}] {os.strerror(number)}: '/a'); ")
    assert help in str(said)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EINTR, errno.EBUSY])
def test_what_may_pass_is_no_refusal(number: int) -> None:
    assert refusal(OSError(number, os.strerror(number)), "x") is None
