"""A finished output is used by the next try only if it is whole, and not for ever."""

import errno
import os
import time
from pathlib import Path

import pytest

from tasks.manifest import Cost
from tasks.store import unsent

KEY = "a" * 64


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Keep an output of two files; return its folder."""
    output = tmp_path / "output"
    (output / "code").mkdir(parents=True)
    (output / "weights").write_bytes(b"12345")
    (output / "code" / "a.py").write_text("pass")
    return unsent.keep(KEY, output, {"size": 5}, {"tool": "1"}, Cost(wall_seconds=3600))[0]


def test_what_is_kept_is_found_with_its_record(kept: Path, tmp_path: Path) -> None:
    found = unsent.find(KEY)
    assert found and found[0] == kept and (kept / "weights").read_bytes() == b"12345"
    assert (found[1].facts, found[1].versions, found[1].cost.wall_seconds) == ({"size": 5}, {"tool": "1"}, 3600)
    assert not (tmp_path / "output").exists()
    assert unsent.find("b" * 64) is None
    unsent.discard(KEY)
    assert unsent.find(KEY) is None and not kept.exists()


@pytest.mark.parametrize("damage", ["cut", "gone", "added", "no record", "half a record", "another start"])
def test_an_output_that_may_not_be_whole_is_not_used(kept: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    record = kept.parent / "output.json"
    match damage:
        case "cut":
            (kept / "weights").write_bytes(b"123")
        case "gone":
            (kept / "code" / "a.py").unlink()
        case "added":
            (kept / "more").touch()
        case "no record":
            record.unlink()
        case "half a record":
            record.write_bytes(record.read_bytes()[:40])
        case "another start":
            monkeypatch.setattr(unsent, "boot_id", lambda: "another")
    assert unsent.find(KEY) is None
    assert not kept.exists(), "it takes up no room"


def test_a_newer_output_takes_the_place_of_an_unsent_one(kept: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "other").write_bytes(b"1")
    unsent.keep(KEY, output, {}, {}, Cost(wall_seconds=1))
    found = unsent.find(KEY)
    assert found and [path.name for path in found[0].iterdir()] == ["other"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_on_a_full_disk_the_output_stays_where_it_is(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    output = tmp_path / "output"
    output.mkdir()
    monkeypatch.setattr(Path, "write_text", fail)
    if number == errno.ENOSPC:
        assert unsent.keep(KEY, output, {}, {}, Cost(wall_seconds=1))[0] == output
    else:
        with pytest.raises(PermissionError):
            unsent.keep(KEY, output, {}, {}, Cost(wall_seconds=1))
    assert output.exists() and list((state / "unsent").iterdir()) == []


def test_what_is_being_sent_is_not_old(kept: Path) -> None:
    long_ago = time.time() - unsent.KEPT.total_seconds() - 60
    os.utime(kept.parent, (long_ago, long_ago))
    assert unsent.find(KEY)
    unsent.remove_old()
    assert kept.exists()


def test_what_nobody_sends_is_removed_after_days(kept: Path) -> None:
    unsent.remove_old()
    assert unsent.find(KEY)
    long_ago = time.time() - unsent.KEPT.total_seconds() - 60
    os.utime(kept.parent, (long_ago, long_ago))
    unsent.remove_old()
    assert not kept.parent.exists()
