"""An artifact exists when its manifest does, and its manifest is written last."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import Corrupt, NotFound, TerminalError
from tasks.manifest import FileEntry, Manifest, manifest_name
from tasks.store.artifacts import find_artifact, read_manifest, remove_attempt, send_files, write_manifest
from tasks.store.cache import WorkerCache
from tasks.store.local import LocalStore

KEY = "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def cache(tmp_path: Path) -> WorkerCache:
    return WorkerCache(tmp_path / "cache", 10**9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "b").write_bytes(b"22")
    (folder / "a").write_bytes(b"1")
    return folder


def sent(store: LocalStore, cache: WorkerCache, folder: Path) -> Manifest:
    prefix = f"artifacts/{KEY}/one/"
    files = send_files(store, prefix, folder, cache, print)
    return Manifest(key=KEY, attempt="one", kind="test", created=datetime.now(UTC), files=files)


def test_files_are_sent_and_found_again(store: LocalStore, cache: WorkerCache, folder: Path) -> None:
    manifest = sent(store, cache, folder)
    assert [(entry.path, entry.size) for entry in manifest.files] == [("a", 1), ("deep/b", 2)]
    assert store.get_bytes(f"{manifest.prefix}deep/b") == b"22"
    assert find_artifact(store, KEY) is None, "without a manifest there is no artifact"
    write_manifest(store, manifest)
    assert find_artifact(store, KEY) == manifest == read_manifest(store, KEY)


@pytest.mark.parametrize("fault", ["missing", "shorter"])
def test_an_artifact_that_is_not_whole_is_to_be_made_again(
    store: LocalStore, cache: WorkerCache, folder: Path, fault: str
) -> None:
    manifest = sent(store, cache, folder)
    write_manifest(store, manifest)
    if fault == "missing":
        store.delete(f"{manifest.prefix}deep/b")
    else:
        store.put_bytes(f"{manifest.prefix}deep/b", b"2")
    assert find_artifact(store, KEY) is None


def test_a_listing_that_lags_behind_hides_nothing(
    store: LocalStore, cache: WorkerCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some stores show a new object in listings only after a while; work of hours is not made again for that."""
    manifest = sent(store, cache, folder)
    write_manifest(store, manifest)
    monkeypatch.setattr(store, "list", lambda prefix: iter(()))
    assert find_artifact(store, KEY) == manifest
    store.delete(f"{manifest.prefix}deep/b")
    assert find_artifact(store, KEY) is None


def test_a_manifest_that_is_none_is_corrupt(store: LocalStore) -> None:
    store.put_bytes(manifest_name(KEY), b"{}")
    with pytest.raises(Corrupt, match=f"artifacts/{KEY}.json"):
        read_manifest(store, KEY)
    with pytest.raises(Corrupt):
        find_artifact(store, KEY)


def test_the_manifest_of_another_key_is_corrupt(store: LocalStore, cache: WorkerCache, folder: Path) -> None:
    manifest = sent(store, cache, folder)
    store.put_bytes(manifest_name("2" * 64), manifest.to_json().encode())
    with pytest.raises(Corrupt, match="of another key"):
        read_manifest(store, "2" * 64)


def test_a_missing_manifest_is_not_found(store: LocalStore) -> None:
    with pytest.raises(NotFound, match=KEY):
        read_manifest(store, KEY)


@pytest.mark.parametrize("empty", [True, False])
def test_no_file_is_no_artifact(store: LocalStore, cache: WorkerCache, tmp_path: Path, empty: bool) -> None:
    (tmp_path / "output" / ("" if empty else "only/folders")).mkdir(parents=True)
    with pytest.raises(TerminalError, match="left no file"):
        sent(store, cache, tmp_path / "output")


@pytest.mark.parametrize("kind", ["link", "dangling", "folder link", "pipe"])
def test_what_is_no_plain_file_is_refused(
    store: LocalStore, cache: WorkerCache, folder: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "pipe":
        os.mkfifo(folder / "z")
    else:
        target = {"link": Path("/etc/hostname"), "dangling": tmp_path / "nowhere", "folder link": tmp_path}[kind]
        (folder / "z").symlink_to(target)
    with pytest.raises(TerminalError, match="holds z, which is no plain file"):
        sent(store, cache, folder)


def test_an_attempt_is_removed_alone(store: LocalStore) -> None:
    for attempt in ("one", "two"):
        store.put_bytes(f"artifacts/{KEY}/{attempt}/a", b"1")
    store.put_bytes(f"artifacts/{KEY}/one.json", b"its own manifest")
    remove_attempt(store, KEY, "one")
    assert [found.name for found in store.list("")] == [f"artifacts/{KEY}/two/a"]


def test_what_is_sent_is_adopted_by_the_cache(store: LocalStore, cache: WorkerCache, folder: Path) -> None:
    manifest = sent(store, cache, folder)
    write_manifest(store, manifest)
    remove_attempt(store, KEY, "one")
    tree = cache.materialize(store, manifest)
    assert (tree / "deep" / "b").read_bytes() == b"22"


def test_an_entry_leads_nowhere_else() -> None:
    for path in ("/etc/passwd", "../a", "a/../b", "", "a\\b", "a//b"):
        with pytest.raises(ValueError, match="must be relative"):
            FileEntry(path=path, size=0, sha256=KEY)
