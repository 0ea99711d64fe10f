"""What is private is so from its first moment, whatever the umask."""

import os
from pathlib import Path

import pytest

from deploy.local.private import private_folder, write_private


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(autouse=True)
def loose_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_folder_is_its_owner_s_also_if_it_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o777)
    assert mode(private_folder(tmp_path / "old")) == 0o700
    assert mode(private_folder(tmp_path / "new" / "deep")) == 0o700


def test_a_file_is_replaced_in_one_step_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("before")
    (tmp_path / "secret").chmod(0o644)
    write_private(tmp_path / "secret", "after")
    assert (tmp_path / "secret").read_text() == "after" and mode(tmp_path / "secret") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_it_is_never_readable_by_others_while_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(mode(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_private(tmp_path / "secret", "text")
    assert seen == [0o600]
