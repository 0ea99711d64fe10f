"""A store in a shared folder that cannot be read, or is not mounted, is not one that holds nothing."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AccessDenied, HallmarkError, NotFound, StoreUnavailable
from tasks.store.artifacts import find_artifact
from tasks.store.base import ObjectStat, Store, Unfinished
from tasks.store.local import INCOMING, LocalStore
from tasks.store.open import open_store

KEY = "1" * 64
FOLDER = f"artifacts/{KEY}"
OBJECT = f"{FOLDER}/attempt/weights"

USES: dict[str, Callable[[Store, Path], object]] = {
    "get_bytes": lambda store, back: store.get_bytes(OBJECT),
    "get_file": lambda store, back: store.get_file(OBJECT, back),
    "stat": lambda store, back: store.stat(OBJECT),
    "list": lambda store, back: list(store.list("")),
    "list of one": lambda store, back: list(store.list(f"{FOLDER}/")),
    "unfinished": lambda store, back: list(store.unfinished("")),
    "find_artifact": lambda store, back: find_artifact(store, KEY),
    "put_bytes": lambda store, back: store.put_bytes(OBJECT, b"other"),
}


def refuse(monkeypatch: pytest.MonkeyPatch, root: Path, place: Any, call: str, number: int) -> None:
    """Let one call fail with this number wherever it is about the store; planted, for no disk fails at will."""
    whole = getattr(place, call)

    def refused(path: Any, *arguments: Any, **options: Any) -> Any:
        if Path(path).is_relative_to(root):
            raise OSError(number, os.strerror(number), str(path))
        return whole(path, *arguments, **options)

    monkeypatch.setattr(place, call, refused)


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, StoreUnavailable), (errno.ESTALE, StoreUnavailable), (errno.EACCES, AccessDenied)]
)
@pytest.mark.parametrize(
    ("place", "call", "use"),
    [
        (os, "scandir", "list"),
        (os, "scandir", "list of one"),
        (os, "scandir", "unfinished"),
        (Path, "stat", "list"),
        (Path, "stat", "stat"),
        (Path, "open", "get_bytes"),
        (Path, "open", "get_file"),
        (Path, "open", "find_artifact"),
    ],
)
def test_what_cannot_be_read_is_not_absent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    call: str,
    use: str,
    number: int,
    error: type[HallmarkError],
) -> None:
    store = LocalStore(tmp_path / "store")
    store.put_bytes(OBJECT, b"weights")
    refuse(monkeypatch, tmp_path / "store", place, call, number)
    with pytest.raises(error, match=rf"^The store file://{tmp_path}/store .*\.$"):
        USES[use](store, tmp_path / "back")


@pytest.mark.parametrize("use", ["get_bytes", "get_file"])
def test_a_disk_that_fails_while_it_is_read_is_the_stores(tmp_path: Path, use: str) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "store" / FOLDER / "attempt").mkdir(parents=True)
    # The kernel opens this, and then says that it cannot be read: nothing is mapped at address 0.
    (tmp_path / "store" / OBJECT).symlink_to("/proc/self/mem")
    with pytest.raises(StoreUnavailable, match="failed on .*weights: .*Input/output error"):
        USES[use](store, tmp_path / "back")


def test_a_disk_that_fails_while_it_is_written_to_is_not_the_stores(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put_bytes(OBJECT, b"weights")
    with pytest.raises(OSError, match="No space left"):
        store.get_file(OBJECT, Path("/dev/full"))


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a store that this host has used, and that holds one object."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/mount/store")
    store = open_store()
    assert store.stat(OBJECT) is None, "a new store is one that holds nothing"
    for data in (b"first", b"weights"):
        store.put_bytes(OBJECT, data)
    return tmp_path / "mount" / "store"


def unmount(root: Path) -> Path:
    """Leave of the store what is left of a file system that is not mounted; returns where it is."""
    away = root.parent.with_name("away")
    root.parent.rename(away)
    root.parent.mkdir()
    return away


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("left", ["no folder", "an empty folder"])
def test_a_store_that_is_not_mounted_is_not_empty(mounted: Path, tmp_path: Path, use: str, left: str) -> None:
    away = unmount(mounted)
    if left == "an empty folder":
        mounted.mkdir()
    with pytest.raises(StoreUnavailable, match=r"has been in use on this host .* mount its file system, or, if it is"):
        USES[use](open_store(), tmp_path / "back")
    assert list(tmp_path.glob("mount/store/*")) == [], "nothing is put where the file system would hide it"
    if left == "an empty folder":
        mounted.rmdir()
    mounted.parent.rmdir()
    away.rename(mounted.parent)
    assert open_store().get_bytes(OBJECT) == b"weights"
    with pytest.raises(NotFound):
        open_store().get_bytes(f"{OBJECT}s")


def test_a_store_that_goes_while_it_is_open_is_missed(mounted: Path) -> None:
    store = open_store()
    unmount(mounted)
    with pytest.raises(StoreUnavailable, match="is not there now"):
        store.stat(OBJECT)


def test_a_store_that_was_emptied_may_begin_anew_as_the_message_says(mounted: Path) -> None:
    unmount(mounted)
    (mounted / INCOMING).mkdir(parents=True)
    store = open_store()
    assert list(store.list("")) == [] and find_artifact(store, KEY) is None
    store.put_bytes(OBJECT, b"anew")
    assert list(store.list("")) == [ObjectStat(OBJECT, 4)]


def test_a_store_whose_last_object_went_is_still_in_use(mounted: Path) -> None:
    store = open_store()
    store.delete(OBJECT)
    store.discard(Unfinished(OBJECT, "0", datetime.now(UTC)))
    assert list(store.list("")) == [] and list(store.unfinished("")) == []


def test_a_store_in_the_state_folder_may_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make clean` does."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HALLMARK_STORE", raising=False)
    for _ in range(2):
        store = open_store()
        for _ in range(2):
            store.put_bytes(OBJECT, b"weights")
        (tmp_path / "home" / "store").rename(tmp_path / f"removed-{os.urandom(4).hex()}")
        assert list(open_store().list("")) == []


def test_what_others_put_there_first_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry's server may be the first to write; and a store may have been used by hosts but this."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    (tmp_path / "store" / "mlflow").mkdir(parents=True)
    (tmp_path / "store" / "mlflow" / "page").write_text("x")
    assert [found.name for found in open_store().list("")] == ["mlflow/page"]
    open_store().put_bytes(OBJECT, b"weights")
    assert open_store().get_bytes(OBJECT) == b"weights"
