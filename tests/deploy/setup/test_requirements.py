"""Requirements files are read for what they pin."""

import pytest

from deploy.setup.errors import SetupError
from deploy.setup.requirements import pinned, requirement_lines


def test_pinned() -> None:
    assert pinned("# torch==1.0\ntorch==2.13.0 --hash=sha256:ab\n", "torch") == "2.13.0"
    with pytest.raises(SetupError, match="No version of torch"):
        pinned("torch>=2\n", "torch")


def test_comments_and_empty_lines_are_no_requirements() -> None:
    assert requirement_lines("# why\n\na==1\n  \nb==2 --hash=sha256:ab\n") == ["a==1", "b==2 --hash=sha256:ab"]
