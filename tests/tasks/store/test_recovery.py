"""What killed writers left is swept; what is whole, alive, young on another host, or not ours stays."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.errors import TooNew
from tasks.host.scratch import scratch_folder
from tasks.manifest import Manifest, attempt_manifest_name, manifest_name
from tasks.runtimes import environments
from tasks.store import recovery
from tasks.store.artifacts import complete_attempt, find_artifact, write_manifest
from tasks.store.attempts import OLD, TIME, new_attempt, scratch_root
from tasks.store.base import Store
from tasks.store.local import INCOMING, LocalStore
from tasks.store.recovery import STALE, recover_all, recover_key
from tasks.store.s3 import S3Store

KEY, OTHER = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The S3 server that a test may be the first to start has its runtime elsewhere.
    monkeypatch.setenv("HALLMARK_ENVS", str(environments()))
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def dead() -> str:
    """An attempt of this state folder whose task has ended."""
    with scratch_folder(scratch_root()) as folder:
        return new_attempt(folder)


def foreign(age: timedelta) -> str:
    return f"{(datetime.now(UTC) - age).strftime(TIME)}-{'0' * 12}-{os.urandom(8).hex()}"


def files(store: Store, attempt: str, key: str = KEY) -> Manifest:
    """Send the files of an attempt."""
    entries = tuple(
        store.put_bytes(f"artifacts/{key}/{attempt}/{path}", path.encode()).model_copy(update={"path": path})
        for path in ("a", "deep/b")
    )
    return Manifest(key=key, attempt=attempt, kind="test", created=datetime.now(UTC), files=entries)


def names(store: Store) -> set[str]:
    return {found.name for found in store.list("")}


def test_an_abandoned_attempt_goes_and_its_neighbours_stay(store: Store) -> None:
    left = dead()
    files(store, left)
    with scratch_folder(scratch_root()) as folder:
        for attempt in (new_attempt(folder), foreign(OLD - timedelta(hours=1)), "of-somebody-else"):
            files(store, attempt)
        files(store, dead(), key=OTHER)
        before = names(store)
        assert recover_key(store, KEY).removed == [f"{KEY}/{left}"]
        assert before - names(store) == {f"artifacts/{KEY}/{left}/{path}" for path in ("a", "deep/b")}
        assert recover_key(store, KEY).removed == []


def test_another_host_s_attempt_goes_when_it_is_old(store: Store) -> None:
    old = foreign(OLD + timedelta(hours=1))
    files(store, old)
    assert recover_key(store, KEY).removed == [f"{KEY}/{old}"]
    assert names(store) == set()


@pytest.mark.parametrize("age", [None, OLD * 2])
def test_a_whole_attempt_stays_for_ever(store: Store, age: timedelta | None) -> None:
    superseded, current = (foreign(age) if age else dead() for _ in range(2))
    for attempt in (superseded, current):
        manifest = files(store, attempt)
        complete_attempt(store, manifest)
        write_manifest(store, manifest)
    before = names(store)
    assert len(before) == 7
    for recovered in (recover_key(store, KEY), recover_all(store)):
        assert (recovered.removed, recovered.published) == ([], [])
    assert names(store) == before
    artifact = find_artifact(store, KEY)
    assert artifact and artifact.attempt == current


@pytest.mark.parametrize("recover", [lambda store: recover_key(store, KEY), recover_all])
def test_a_whole_attempt_that_was_not_published_is(store: Store, recover: object) -> None:
    manifest = files(store, dead())
    complete_attempt(store, manifest)
    assert find_artifact(store, KEY) is None
    assert recover(store).published == [f"{KEY}/{manifest.attempt}"]  # type: ignore[operator]
    assert find_artifact(store, KEY) == manifest


def test_a_whole_attempt_that_lost_a_file_is_not_published(store: Store) -> None:
    manifest = files(store, dead())
    complete_attempt(store, manifest)
    store.delete(f"{manifest.prefix}a")
    assert recover_key(store, KEY).published == []
    assert store.stat(manifest_name(KEY)) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"null"])
def test_a_damaged_manifest_publishes_nothing_and_stops_nobody(store: Store, damage: bytes) -> None:
    store.put_bytes(files(store, dead()).own_name, damage)
    left = dead()
    files(store, left, key=OTHER)
    assert recover_key(store, KEY).published == []
    recovered = recover_all(store)
    assert (recovered.published, recovered.removed) == ([], [f"{OTHER}/{left}"])
    assert find_artifact(store, KEY) is None


def test_what_a_newer_version_wrote_is_left_to_it_and_refused_to_the_keys_next_writer(store: Store) -> None:
    newer = files(store, dead())
    store.put_bytes(newer.own_name, newer.to_json().replace('"schema": 1', '"schema": 2').encode())
    files(store, left := dead(), key=OTHER)
    before = names(store)
    recovered = recover_all(store)
    assert (recovered.too_new, recovered.published) == ([f"{KEY}/{newer.attempt}"], [])
    assert recovered.removed == [f"{OTHER}/{left}"], "it stops nobody else's recovery"
    assert {name for name in before if KEY in name} == names(store)
    with pytest.raises(TooNew, match=f"{newer.own_name} has schema version 2"):
        recover_key(store, KEY)


def test_a_writer_that_ends_between_the_two_looks_keeps_its_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = dead()
    manifest = files(store, attempt)

    def ends_now(name: str) -> bool:
        complete_attempt(store, manifest)
        write_manifest(store, manifest)
        return True

    monkeypatch.setattr(recovery, "is_abandoned", ends_now)
    assert recover_key(store, KEY).removed == []
    assert find_artifact(store, KEY) == manifest


def test_the_whole_store_is_swept_of_keys_that_nobody_tries_again(store: Store) -> None:
    one, two = dead(), dead()
    files(store, one)
    files(store, two, key=OTHER)
    store.put_bytes("releases/a--b/current.json", b"{}")
    store.put_bytes("artifacts/notes.txt", b"somebody's own")
    # In the order of names, it comes before the others.
    store.put_bytes(manifest_name("0" * 64), b"{}")
    assert recover_all(store).removed == [f"{KEY}/{one}", f"{OTHER}/{two}"]
    assert names(store) == {"releases/a--b/current.json", "artifacts/notes.txt", manifest_name("0" * 64)}


def test_a_manifest_that_a_dead_writer_began_goes(tmp_path: Path) -> None:
    store, left = LocalStore(tmp_path / "store"), dead()
    with scratch_folder(scratch_root()) as folder:
        living = new_attempt(folder)
        for attempt in (left, living):
            growing = tmp_path / "store" / INCOMING / attempt_manifest_name(KEY, attempt) / "0"
            growing.parent.mkdir(parents=True)
            growing.write_bytes(b"half")
        recovered = recover_all(store)
        assert (recovered.removed, recovered.uploads) == ([f"{KEY}/{left}"], [])
        assert [upload.name for upload in store.unfinished("")] == [attempt_manifest_name(KEY, living)]


def test_a_small_object_that_was_begun_is_given_up_after_a_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    young, old = (tmp_path / "store" / INCOMING / manifest_name(key) / "0" for key in (KEY, OTHER))
    for growing in (young, old):
        growing.parent.mkdir(parents=True)
        growing.write_bytes(b"half")
    long_ago = (datetime.now(UTC) - STALE - timedelta(hours=1)).timestamp()
    os.utime(old, (long_ago, long_ago))
    assert recover_all(store).uploads == [manifest_name(OTHER)]
    assert [left.name for left in store.unfinished("")] == [manifest_name(KEY)]


def test_an_attempt_s_own_manifest_lies_beside_its_files() -> None:
    assert attempt_manifest_name(KEY, "one") == f"artifacts/{KEY}/one.json"


@pytest.mark.servers
@pytest.mark.parametrize("open_kind", ["s3"], indirect=True)
def test_what_others_are_sending_to_the_bucket_is_not_given_up(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may be a whole bucket, and others, as a registry, have theirs beside it."""
    monkeypatch.setattr(recovery, "STALE", -timedelta(days=1))
    for name in ("mlflow/1/model.bin", "releases/a--b/demo/1.html"):
        store._client.create_multipart_upload(Bucket=store.bucket, Key=store.prefix + name)
    assert recover_all(store).uploads == ["releases/a--b/demo/1.html"]
    assert [left.name for left in store.unfinished("")] == ["mlflow/1/model.bin"]
