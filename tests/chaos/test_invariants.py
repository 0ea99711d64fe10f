"""The checkers see what they are for: each is shown a store, a registry or a history in which one thing is wrong."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operators.local_job import JobProcess
from tasks.manifest import FileEntry, Manifest, manifest_name
from tasks.model import digest_of
from tasks.release.current import Current, Mark, Names
from tasks.release.record import Release, ReleasedTarget
from tasks.store.artifacts import write_manifest
from tasks.store.local import LocalStore
from tests.chaos import invariants
from tests.chaos.invariants import Version
from tests.chaos.processes import Start

KEY, OTHER = digest_of(["one"]), digest_of(["other"])
NAME = "acme--tiny--toy-a"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store that holds one artifact of two files."""
    store = LocalStore(tmp_path)
    sent = [store.put_bytes(f"artifacts/{KEY}/a1/{name}", name.encode()) for name in ("weights.bin", "MLmodel")]
    files = tuple(FileEntry(path=Path(each.path).name, size=each.size, sha256=each.sha256) for each in sent)
    write_manifest(store, Manifest(key=KEY, attempt="a1", kind="convert", created=datetime.now(UTC), files=files))
    return store


def test_a_sound_store_is_found_sound(store: LocalStore) -> None:
    manifests = invariants.manifests_in(store)
    assert [manifest.key for manifest in manifests] == [KEY]
    assert invariants.damaged(store, manifests) == []
    assert invariants.strays(store, manifests) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda store, name: store.delete(name),
        lambda store, name: store.put_bytes(name, b"weights.biN"),
        lambda store, name: store.put_bytes(name, b"weights"),
    ],
    ids=["gone", "another byte", "short"],
)
def test_an_artifact_that_is_not_whole_is_named(store: LocalStore, damage: Callable[[LocalStore, str], object]) -> None:
    damage(store, f"artifacts/{KEY}/a1/weights.bin")
    (line,) = invariants.damaged(store, invariants.manifests_in(store))
    assert "a1/weights.bin" in line


def test_what_a_dead_attempt_sent_is_a_stray(store: LocalStore) -> None:
    store.put_bytes(f"artifacts/{KEY}/a2/weights.bin", b"half")
    store.put_bytes(f"artifacts/{OTHER}/a3/weights.bin", b"half")
    lines = invariants.strays(store, invariants.manifests_in(store))
    assert sorted(line.split("/")[2] for line in lines) == ["a2", "a3"]
    # A manifest that was written before its files is no stray: it is an artifact that is not whole.
    store.put_bytes(manifest_name(OTHER), store.get_bytes(manifest_name(KEY)).replace(KEY.encode(), OTHER.encode()))
    assert len(invariants.damaged(store, invariants.manifests_in(store))) == 2


def start(job: str, at: float, pid: int = 1) -> Start:
    return Start(job, "convert", JobProcess(host="here", boot_id="now", pid=pid, start_ticks=1), at)


def test_work_that_is_done_again_is_seen() -> None:
    once = [(KEY, "a1", 5.0)]
    assert invariants.redone(once, [start(KEY, 1.0), start(KEY, 3.0), start(OTHER, 9.0)]) == []
    assert invariants.redone([*once, (KEY, "a1", 6.0)], []) == [], "the same attempt's manifest, sent again"
    assert "started again after" in invariants.redone(once, [start(KEY, 6.0)])[0]
    assert "made 2 times" in invariants.redone([*once, (KEY, "a2", 7.0)], [])[0]


def test_a_job_that_was_not_attached_to_is_seen() -> None:
    twice = [start(KEY, 1.0), start(OTHER, 2.0), start(KEY, 3.0, pid=2)]
    assert invariants.restarted(twice[:2], {KEY, OTHER}) == []
    assert invariants.restarted(twice, {OTHER}) == [], "it had ended by itself"
    assert invariants.restarted(twice, {KEY}) == [f"convert {KEY} was started 2 times"]


def test_two_versions_of_one_release_or_of_the_same_files_are_seen() -> None:
    first = Version(NAME, "1", "r1", "d1")
    assert invariants.registered_twice([first, Version(NAME, "2", "r2", "d2"), Version("b", "1", "r1", "d1")]) == []
    assert invariants.registered_twice([first, Version(NAME, "2", "r2", "d1")]) == [f"{NAME} has 2 versions of d1"]
    assert invariants.registered_twice([first, Version(NAME, "2", "r1", "d2")]) == [f"{NAME} has 2 versions of r1"]


def record(version: str | None = "2") -> Release:
    passed = ReleasedTarget(
        target="toy-a",
        format="toy",
        outcome="passed",
        reason="all gates passed",
        files_digest=OTHER,
        registered_name=NAME,
        version=version,
    )
    return Release(
        release_id="r2",
        repository="acme/tiny",
        commit="a" * 40,
        licence="mit",
        recipe="chaos",
        created=datetime.now(UTC),
        targets=(passed,),
    )


def mark(version: str) -> Mark:
    return Mark(
        target="toy-a",
        version=version,
        release_id="r",
        recipe="chaos",
        commit="a" * 40,
        files_digest=digest_of([version]),
    )


def test_a_version_that_the_registry_does_not_have_is_seen() -> None:
    assert invariants.unregistered(record(), [Version(NAME, "2", "r2", OTHER)]) == []
    assert invariants.unregistered(record(), [Version(NAME, "2", "r2", KEY)])
    assert invariants.unregistered(record(), [Version(NAME, "1", "r2", OTHER)])
    assert invariants.unregistered(record(None), [Version(NAME, "1", "r2", OTHER)])


@pytest.mark.parametrize(
    "aliases",
    [
        {"champion": "1"},
        {"champion": "2"},
        {"champion": "2", "previous": "1", "challenger": "2"},
        {"champion": "1", "previous": "1"},
        {},
    ],
)
def test_aliases_that_are_not_the_records_are_seen(aliases: dict[str, str]) -> None:
    current = Current(repository="acme/tiny", names={NAME: Names(champion=mark("2"), previous=mark("1"))})
    assert invariants.disagreeing(current, record(), {NAME: {"champion": "2", "previous": "1"}}) == []
    (line,) = invariants.disagreeing(current, record(), {NAME: aliases})
    assert NAME in line


def test_a_target_that_passed_and_is_champion_nowhere_is_seen() -> None:
    old = Current(repository="acme/tiny", names={NAME: Names(champion=mark("1"))})
    assert "not champion" in invariants.disagreeing(old, record(), {NAME: {"champion": "1"}})[0]
    assert "not champion" in invariants.disagreeing(Current(repository="acme/tiny"), record(), {})[0]


def test_what_is_left_behind_is_named() -> None:
    assert invariants.left_behind("a process", []) == []
    assert invariants.left_behind("a process", [7]) == ["a process was left behind: 7"]
