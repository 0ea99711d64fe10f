"""A file of the view keeps the bytes of the source's unless a field of it was settled."""

import json
from pathlib import Path

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.view_files import keep, write

FOUND = b'{"b" : "\\u0105",\r\n "a": 1}'


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Snapshot, Path]:
    for name in ("source", "view"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "x.json").write_bytes(FOUND)
    return Snapshot(tmp_path / "source"), tmp_path / "view"


def test_a_kept_file_has_its_bytes_and_a_missing_one_is_no_error(folders: tuple[Snapshot, Path]) -> None:
    snapshot, view = folders
    (snapshot.folder / "deep").mkdir()
    (snapshot.folder / "deep" / "y.jinja").write_bytes(b"\xff")
    for name in ("x.json", "deep/y.jinja", "missing.json"):
        keep(snapshot, view, name)
    assert (view / "x.json").read_bytes() == FOUND
    assert (view / "deep" / "y.jinja").read_bytes() == b"\xff"
    assert not (view / "missing.json").exists()


def test_content_that_is_unchanged_keeps_its_bytes(folders: tuple[Snapshot, Path]) -> None:
    snapshot, view = folders
    write(snapshot, view, "x.json", {"b": "ą", "a": 1})
    assert (view / "x.json").read_bytes() == FOUND


def test_a_number_of_another_type_is_another_content(folders: tuple[Snapshot, Path]) -> None:
    snapshot, view = folders
    write(snapshot, view, "x.json", {"b": "ą", "a": 1.0})
    assert '"a": 1.0' in (view / "x.json").read_text(encoding="utf-8")


def test_content_that_was_settled_is_written_and_replaces_what_was_written_before(
    folders: tuple[Snapshot, Path],
) -> None:
    snapshot, view = folders
    keep(snapshot, view, "x.json")
    write(snapshot, view, "x.json", {"a": 2, "b": "ą"})
    assert (view / "x.json").read_text(encoding="utf-8") == '{\n  "a": 2,\n  "b": "ą"\n}\n'
    assert (snapshot.folder / "x.json").read_bytes() == FOUND
    write(snapshot, view, "new.json", {})
    assert json.loads((view / "new.json").read_text()) == {}
    # Back to the source's content: its bytes again.
    write(snapshot, view, "x.json", {"a": 1, "b": "ą"})
    assert (view / "x.json").read_bytes() == FOUND


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_content_in_another_encoding_is_written_as_plain_utf8(folders: tuple[Snapshot, Path], encoding: str) -> None:
    snapshot, view = folders
    (snapshot.folder / "x.json").write_text(FOUND.decode(), encoding=encoding)
    write(snapshot, view, "x.json", {"a": 1, "b": "ą"})
    assert json.loads((view / "x.json").read_text(encoding="utf-8")) == {"a": 1, "b": "ą"}


def test_a_link_in_the_view_is_replaced_and_its_file_stays(folders: tuple[Snapshot, Path]) -> None:
    snapshot, view = folders
    (view / "x.json").symlink_to(snapshot.folder / "x.json")
    write(snapshot, view, "x.json", {"a": 1, "b": "ą"})
    assert not (view / "x.json").is_symlink()
    (view / "x.json").unlink()
    (view / "x.json").symlink_to(snapshot.folder / "x.json")
    write(snapshot, view, "x.json", {"a": 2})
    assert not (view / "x.json").is_symlink()
    assert (snapshot.folder / "x.json").read_bytes() == FOUND
