"""An artifact exists when its manifest does, and its manifest is written last."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import Corrupt, NotFound, StoreUnavailable, TerminalError
from tasks.manifest import Manifest, manifest_name
from tasks.store.artifacts import (
    complete_attempt,
    find_artifact,
    load_manifest,
    read_manifest,
    remove_attempt,
    send_files,
    write_manifest,
)
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
    with pytest.raises(TerminalError, match="left no file .*; let the task write its files there"):
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
    with pytest.raises(TerminalError, match="holds z, which is not a plain file; let the task write plain files only"):
        sent(store, cache, folder)


def test_an_attempt_is_removed_alone(store: LocalStore) -> None:
    for attempt in ("one", "two"):
        store.put_bytes(f"artifacts/{KEY}/{attempt}/a", b"1")
    store.put_bytes(f"artifacts/{KEY}/one.json", b"its own manifest")
    remove_attempt(store, KEY, "one")
    assert [found.name for found in store.list("")] == [f"artifacts/{KEY}/two/a"]


def begin_upload(store: LocalStore, name: str) -> None:
    """Leave an upload as a killed writer does."""
    growing = store._incoming / name / "upload"
    growing.parent.mkdir(parents=True)
    growing.write_bytes(b"part")


def test_the_unfinished_uploads_of_an_attempt_are_removed_with_it(store: LocalStore) -> None:
    for attempt in ("one", "two"):
        begin_upload(store, f"artifacts/{KEY}/{attempt}/a")
    remove_attempt(store, KEY, "one")
    assert [upload.name for upload in store.unfinished("")] == [f"artifacts/{KEY}/two/a"]


def test_what_a_failed_try_has_sent_is_removed_before_the_next(
    store: LocalStore, cache: WorkerCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = store.put_file

    def fail(name: str, path: Path) -> None:
        begin_upload(store, name)
        monkeypatch.setattr(store, "put_file", put_file)
        raise StoreUnavailable("The store is away.")

    monkeypatch.setattr(store, "put_file", fail)
    monkeypatch.setattr("tasks.store.outage.PAUSES", (0.0,))
    sent(store, cache, folder)
    assert list(store.unfinished("")) == []


def test_a_complete_attempt_has_its_own_manifest(store: LocalStore, cache: WorkerCache, folder: Path) -> None:
    manifest = sent(store, cache, folder)
    complete_attempt(store, manifest)
    assert load_manifest(store, manifest.own_name) == manifest


def test_what_is_sent_is_adopted_by_the_cache(store: LocalStore, cache: WorkerCache, folder: Path) -> None:
    manifest = sent(store, cache, folder)
    write_manifest(store, manifest)
    remove_attempt(store, KEY, "one")
    tree = cache.materialize(store, manifest)
    assert (tree / "deep" / "b").read_bytes() == b"22"
