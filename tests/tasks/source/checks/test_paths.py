"""A snapshot has only plain files; the scan says how many."""

import os
from pathlib import Path

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.checks.paths import check_paths
from tasks.source.parameters import ScanParameters

PARAMETERS = ScanParameters.model_validate({"repository": "a/b", "commit": "a" * 40})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "original").mkdir()
    for name in ("config.json", "original/params.json", "weights"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_plain_files_are_counted(folder: Path) -> None:
    assert check_paths(Snapshot(folder), PARAMETERS) == ("3 plain files", True)


def test_a_link_is_refused(folder: Path) -> None:
    (folder / "original" / "link").symlink_to("../config.json")
    with pytest.raises(Corrupt, match="original/link is a symbolic link"):
        check_paths(Snapshot(folder), PARAMETERS)


def test_a_pipe_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(Corrupt, match="pipe is not a plain file"):
        check_paths(Snapshot(folder), PARAMETERS)
