"""What is particular to the store in a local folder."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AccessDenied, InvalidRecipe, NotFound, StoreUnavailable
from tasks.settings import REPOSITORY
from tasks.store.base import ObjectStat, Unfinished
from tasks.store.local import INCOMING, TRIES, LocalStore

KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.store.local import LocalStore
store = LocalStore(Path(sys.argv[1]))
with store._object("name", 4) as target:
    target.write(b"half")
    target.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(InvalidRecipe, match="is not a folder; name one in HALLMARK_STORE"):
        LocalStore(tmp_path / "store").put_bytes("name", b"x")


def put(store: LocalStore) -> None:
    store.put_bytes("name", b"x")


def delete(store: LocalStore) -> None:
    store.delete("there")


def discard(store: LocalStore) -> None:
    store.discard(Unfinished("there", "0", datetime.now(UTC)))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize(("call", "use"), [("replace", put), ("open", put), ("unlink", delete), ("unlink", discard)])
def test_a_folder_that_belongs_to_somebody_else_is_refused_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str, use: Callable[[LocalStore], None]
) -> None:
    """Planted, for nothing is refused to the superuser, who may run this."""
    store = LocalStore(tmp_path)
    store.put_bytes("there", b"x")

    def refused(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, call, refused)
    advice = (
        "its file system is mounted read-only, .*" if number == errno.EROFS else "check the folder's owner and mode"
    )
    with pytest.raises(AccessDenied, match=rf"refused \w+ \(.*{os.strerror(number)}.*\); {advice}\.$"):
        use(store)


def test_a_name_that_is_too_long_for_the_file_system_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidRecipe, match=r"File name too long.*; name another folder, on a file system that takes this\.$"
    ):
        LocalStore(tmp_path / "store").put_bytes("x" * 300, b"x")


def test_a_store_below_a_file_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        InvalidRecipe, match=r"Not a directory.*; name another folder, on a file system that takes this\.$"
    ):
        LocalStore(tmp_path / "file" / "store").put_bytes("name", b"x")


def test_an_object_is_no_folder_for_others(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("a", b"x")
    with pytest.raises(StoreUnavailable, match="failed on a/b"):
        store.put_bytes("a/b", b"y")
    with pytest.raises(NotFound):
        store.get_bytes("a/b")
    assert list((tmp_path / INCOMING).iterdir()) == []


def test_what_a_killed_process_wrote_is_no_object_and_known_by_its_name(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("name", b"before")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=REPOSITORY, check=False)
    assert list(store.list("")) == [ObjectStat("name", 6)] and store.get_bytes("name") == b"before"
    assert [left.name for left in store.unfinished("na")] == ["name"]
    assert list(store.unfinished("name/")) == [] and list(store.unfinished("other")) == []
    store.put_bytes("name", b"x")
    (left,) = store.unfinished("")
    store.discard(left)
    assert list((tmp_path / INCOMING).iterdir()) == []
    store.discard(left)


def test_the_folder_of_half_written_objects_is_not_to_be_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name in (INCOMING, f"{INCOMING}/x"):
        with pytest.raises(NotFound):
            store.put_bytes(name, b"x")


@pytest.mark.parametrize(
    ("removed", "folder"),
    [
        (f"{INCOMING}/a/b/c", f"{INCOMING}/a/b/c"),
        (f"{INCOMING}/a", f"{INCOMING}/a/b/c"),
        ("a/b", "a/b"),
        ("a", "a/b"),
    ],
)
@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_a_folder_that_others_remove_is_made_again_for_some_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str, folder: str, times: int
) -> None:
    """The folder in which the object grows or in which it appears, or one above."""
    honest, gone = Path.mkdir, list[Path]()

    def removed_at_once(path: Path, *arguments: Any, **named: Any) -> None:
        honest(path, *arguments, **named)
        if path == tmp_path / removed and path.exists() and len(gone) < times:
            path.rmdir()
            gone.append(path)

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    store = LocalStore(tmp_path)
    if times < TRIES:
        store.put_bytes("a/b/c", b"x")
        assert store.get_bytes("a/b/c") == b"x"
    else:
        with pytest.raises(StoreUnavailable, match=f"failed on a/b/c: {tmp_path / folder} is removed again and again"):
            store.put_bytes("a/b/c", b"x")
        assert list(store.list("")) == []
    assert len(gone) == times and list(store.unfinished("")) == []


def test_deleting_leaves_no_empty_folders(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_bytes("a/b/c", b"x")
    store.put_bytes("a/d", b"x")
    store.delete("a/b/c")
    assert not (tmp_path / "a" / "b").exists() and (tmp_path / "a" / "d").exists()
