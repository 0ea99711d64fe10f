"""The worker cache: one read of the store a file and host, whatever happens to the processes that share it."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from tasks.errors import AccessDenied, Corrupt, InvalidRecipe, StoreUnavailable
from tasks.manifest import FileEntry, Manifest
from tasks.model import digest_of
from tasks.store.cache import WorkerCache
from tasks.store.local import LocalStore

PLENTY = 10**9
# Forked children share the parent's locks; what is tested here is processes that do not.
SPAWN = multiprocessing.get_context("spawn")
SECONDS = 60


class CountedStore(LocalStore):
    """Keeps a line for each object that is read, in a file that all processes append to; a read takes a while."""

    def get_file(self, name: str, destination: Path) -> FileEntry:
        with (self.root.parent / "reads").open("a") as log:
            log.write(f"{name}\n")
        time.sleep(0.2)
        return super().get_file(name, destination)

    def reads(self) -> list[str]:
        log = self.root.parent / "reads"
        return [line.rpartition("/")[2] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def store(tmp_path: Path) -> CountedStore:
    return CountedStore(tmp_path / "store")


@pytest.fixture
def cache(tmp_path: Path) -> WorkerCache:
    return WorkerCache(tmp_path / "cache", PLENTY)


def artifact(store: LocalStore, files: dict[str, bytes]) -> Manifest:
    key = digest_of(sorted(files))
    entries = tuple(
        store.put_bytes(f"artifacts/{key}/one/{path}", data).model_copy(update={"path": path})
        for path, data in files.items()
    )
    return Manifest(key=key, attempt="one", kind="test", created=datetime.now(UTC), files=entries)


def test_an_artifact_is_read_once_and_read_only(store: CountedStore, cache: WorkerCache, tmp_path: Path) -> None:
    made = artifact(store, {"a": b"1", "deep/er/b": b"2"})
    tree = cache.materialize(store, made)
    assert (tree / "a").read_bytes() == b"1" and (tree / "deep/er/b").read_bytes() == b"2"
    assert all(not stat.S_IMODE((tree / name).stat().st_mode) & 0o222 for name in ("a", "deep/er/b"))
    assert not any(path.is_symlink() for path in tree.rglob("*"))
    assert cache.materialize(store, made) == tree
    assert WorkerCache(tmp_path / "cache", PLENTY).materialize(store, made) == tree
    assert sorted(store.reads()) == ["a", "b"]


def test_the_locks_are_those_that_a_network_s_file_system_can_hold(
    store: CountedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux makes byte-range locks of them on NFS, which want a file open for what they are: flock(2)."""
    flock = fcntl.flock

    def on_nfs(file: IO[bytes], how: int) -> None:
        if not (file.readable() if how & fcntl.LOCK_SH else file.writable()):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", on_nfs)
    cache = WorkerCache(tmp_path / "cache", PLENTY)
    assert cache.materialize(store, artifact(store, {"a": b"x"})).is_dir()


def test_a_file_that_two_artifacts_share_is_read_once(store: CountedStore, cache: WorkerCache) -> None:
    cache.materialize(store, artifact(store, {"config.json": b"same", "a": b"1"}))
    tree = cache.materialize(store, artifact(store, {"other.json": b"same", "b": b"2"}))
    assert sorted(store.reads()) == ["a", "b", "config.json"]
    assert (tree / "other.json").read_bytes() == b"same"


def test_what_this_host_made_is_not_read_at_all(store: CountedStore, cache: WorkerCache, tmp_path: Path) -> None:
    made = artifact(store, {"a": b"1"})
    (tmp_path / "a").write_bytes(b"1")
    cache.adopt(tmp_path / "a", made.file("a"))
    (tmp_path / "a").unlink()
    tree = cache.materialize(store, made)
    assert (tree / "a").read_bytes() == b"1" and store.reads() == []
    assert not (tree / "a").stat().st_mode & 0o222


def test_bytes_without_their_digest_are_refused_and_not_kept(store: CountedStore, cache: WorkerCache) -> None:
    made = artifact(store, {"a": b"right", "b": b"also"})
    (store.root / made.prefix / "a").write_bytes(b"wrong")
    for _ in range(2):
        with pytest.raises(Corrupt, match=rf"{made.prefix}a has not the digest .* 'force'"):
            cache.materialize(store, made)
    (store.root / made.prefix / "a").write_bytes(b"right")
    assert (cache.materialize(store, made) / "a").read_bytes() == b"right"


@pytest.mark.parametrize("fault", ["cut", "written to", "empty", "gone"])
def test_a_file_that_changed_on_the_disk_is_fetched_anew(
    store: CountedStore, cache: WorkerCache, tmp_path: Path, fault: str
) -> None:
    made = artifact(store, {"a": b"right", "b": b"also"})
    sharing = artifact(store, {"c": b"right"})
    blob = tmp_path / "cache" / "blobs" / made.file("a").sha256
    for manifest in (made, sharing):
        cache.materialize(store, manifest)
    blob.chmod(0o644)
    if fault == "gone":
        (cache.materialize(store, made) / "a").unlink()
        (cache.materialize(store, sharing) / "c").unlink()
        blob.unlink()
    else:
        blob.write_bytes({"cut": b"rig", "written to": b"wrong", "empty": b""}[fault])
    for _ in range(2):
        assert (cache.materialize(store, made) / "a").read_bytes() == b"right"
        assert (cache.materialize(store, sharing) / "c").read_bytes() == b"right"
    assert sorted(store.reads()) == ["a", "a", "b"]
    assert not list((tmp_path / "cache").glob("*/.*"))


def test_what_was_adopted_and_changed_is_fetched(store: CountedStore, cache: WorkerCache, tmp_path: Path) -> None:
    made = artifact(store, {"a": b"right"})
    (tmp_path / "a").write_bytes(b"right")
    cache.adopt(tmp_path / "a", made.file("a"))
    (tmp_path / "a").chmod(0o644)
    (tmp_path / "a").write_bytes(b"wrong")
    assert (cache.materialize(store, made) / "a").read_bytes() == b"right"


def test_a_disk_that_fails_may_be_written_later(
    store: CountedStore, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = artifact(store, {"a": b"1"})

    def broken(self: LocalStore, name: str, destination: Path) -> FileEntry:
        raise OSError(errno.EIO, "planted")

    monkeypatch.setattr(CountedStore, "get_file", broken)
    with pytest.raises(StoreUnavailable, match="did not take a: .*planted; check its disk"):
        cache.materialize(store, made)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_cache_of_somebody_else_is_not_tried_again(
    store: CountedStore, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    made = artifact(store, {"a": b"1"})
    for place, call in ((CountedStore, "get_file"), (os, "link")):
        with monkeypatch.context() as patch:
            patch.setattr(place, call, _fails(number))
            with pytest.raises(AccessDenied, match=rf"did not take a \(.*{os.strerror(number)}.*\); "):
                cache.materialize(store, made)
    assert (cache.materialize(store, made) / "a").read_bytes() == b"1"


def _fails(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_found_before_the_work(
    cache: WorkerCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "output").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _fails(number))
        with pytest.raises(InvalidRecipe, match="cannot get hard links in .* a local file system that has them"):
            cache.check_links(tmp_path / "output")
    cache.check_links(tmp_path / "output")
    assert list((tmp_path / "output").iterdir()) == [] and list((tmp_path / "cache" / "blobs").iterdir()) == []


def _materialize(root: Path, manifest: Manifest, limit: int) -> None:
    tree = WorkerCache(root / "cache", limit).materialize(CountedStore(root / "store"), manifest)
    for entry in manifest.files:
        assert (tree / entry.path).stat().st_size == entry.size


def test_processes_that_want_one_file_at_once_read_it_once(store: CountedStore, tmp_path: Path) -> None:
    made = artifact(store, {"a": b"1", "b": b"2"})
    processes = [SPAWN.Process(target=_materialize, args=(tmp_path, made, PLENTY)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(store.reads()) == ["a", "b"]


def _die_while_filling(root: Path, manifest: Manifest) -> None:
    class Deadly(LocalStore):
        def get_file(self, name: str, destination: Path) -> FileEntry:
            entry = super().get_file(name, destination)
            if name.endswith("/b"):
                os.kill(os.getpid(), signal.SIGKILL)
            return entry

    WorkerCache(root / "cache", PLENTY).materialize(Deadly(root / "store"), manifest)


def test_what_a_killed_process_left_is_neither_used_nor_kept(
    store: CountedStore, cache: WorkerCache, tmp_path: Path
) -> None:
    made = artifact(store, {"a": b"1", "b": b"2"})
    process = SPAWN.Process(target=_die_while_filling, args=(tmp_path, made))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name[0] for path in (tmp_path / "cache" / "trees").iterdir()] == ["."]
    cache.materialize(store, artifact(store, {"other": b"3"}))
    assert [path.name[0] for path in (tmp_path / "cache" / "trees").iterdir()] != ["."]
    assert not list((tmp_path / "cache").glob("*/.*"))
    assert (cache.materialize(store, made) / "b").read_bytes() == b"2"


def _hold(root: Path, manifest: Manifest, held: object, done: object) -> None:
    cache = WorkerCache(root / "cache", PLENTY)
    tree = cache.materialize(LocalStore(root / "store"), manifest)
    held.set()  # type: ignore[attr-defined]
    done.wait(SECONDS)  # type: ignore[attr-defined]
    assert (tree / "a").read_bytes() == b"a" * 100


def test_room_is_made_of_what_was_used_longest_ago_and_nobody_uses(store: CountedStore, tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    made = {name: artifact(store, {name: name.encode() * 100}) for name in names}
    held, done = SPAWN.Event(), SPAWN.Event()
    holder = SPAWN.Process(target=_hold, args=(tmp_path, made["a"], held, done))
    holder.start()
    assert held.wait(SECONDS)
    for name in ("b", "c"):
        # A process's leases end with it.
        _in_child(tmp_path, made[name])
    trees = {name: tmp_path / "cache" / "trees" / made[name].files_digest for name in names}
    for age, name in enumerate(("c", "b", "a")):
        os.utime(trees[name], (1000 - age, 1000 - age))
    assert all(trees[name].is_dir() for name in ("a", "b", "c"))

    WorkerCache(tmp_path / "cache", 310).materialize(store, made["d"])
    assert {name for name in names if trees[name].exists()} == {"a", "c", "d"}, "a is the oldest, but in use"
    assert len(list((tmp_path / "cache" / "blobs").iterdir())) == 3
    done.set()
    holder.join(SECONDS)
    assert holder.exitcode == 0


def _in_child(root: Path, manifest: Manifest) -> None:
    child = SPAWN.Process(target=_materialize, args=(root, manifest, PLENTY))
    child.start()
    child.join(SECONDS)
    assert child.exitcode == 0


def test_processes_that_trim_and_fill_at_once_do_not_break_each_other(store: CountedStore, tmp_path: Path) -> None:
    made = [artifact(store, {f"{number}": bytes([number]) * 100, "shared": b"s" * 100}) for number in range(3)]
    processes = [SPAWN.Process(target=_churn, args=(tmp_path, made)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]


def _churn(root: Path, made: list[Manifest]) -> None:
    store = LocalStore(root / "store")
    for turn in range(60):
        manifest = made[turn % len(made)]
        # A cache object's leases end with it, so every turn finds something to trim.
        cache = WorkerCache(root / "cache", 150)
        tree = cache.materialize(store, manifest)
        assert sum(path.stat().st_size for path in tree.iterdir()) == manifest.size


def test_what_was_worked_out_of_an_artifact_goes_with_it_and_counts(store: CountedStore, tmp_path: Path) -> None:
    first, second = artifact(store, {"a": b"1" * 100}), artifact(store, {"b": b"2" * 100})
    cache = WorkerCache(tmp_path / "cache", 350)
    cache.materialize(store, first)
    worked = cache.workspace(first) / "worked"
    worked.write_bytes(bytes(200))
    # A cache of another process: the first one still uses the tree.
    WorkerCache(tmp_path / "cache", 350).materialize(store, second)
    assert worked.exists()
    del cache
    third = artifact(store, {"c": b"3" * 100})
    later = WorkerCache(tmp_path / "cache", 350)
    later.materialize(store, third)
    assert not worked.exists()


def test_what_was_worked_out_of_a_tree_that_is_gone_is_swept(store: CountedStore, tmp_path: Path) -> None:
    """As a process leaves it that is killed between the tree and its workspace, or cannot fetch the tree anew."""
    first, second = artifact(store, {"a": b"1"}), artifact(store, {"b": b"2"})
    cache = WorkerCache(tmp_path / "cache", PLENTY)
    shutil.rmtree(cache.materialize(store, first))
    (cache.workspace(first) / "worked").write_bytes(bytes(200))
    WorkerCache(tmp_path / "cache", PLENTY).materialize(store, artifact(store, {"c": b"3"}))
    assert cache.workspace(first).joinpath("worked").exists(), "the first cache still uses it"
    del cache
    later = WorkerCache(tmp_path / "cache", PLENTY)
    later.materialize(store, second)
    assert not list((tmp_path / "cache/workspaces").iterdir())


def test_a_workspace_can_be_dropped_before_its_tree_unless_others_use_it(store: CountedStore, tmp_path: Path) -> None:
    made = artifact(store, {"a": b"1"})
    user, last = WorkerCache(tmp_path / "cache", PLENTY), WorkerCache(tmp_path / "cache", PLENTY)
    tree = user.materialize(store, made)
    worked = user.workspace(made) / "worked"
    worked.write_bytes(bytes(200))
    last.drop_workspace(made)
    assert worked.exists(), "another process may be reading it"
    del user
    last.drop_workspace(made)
    assert not worked.exists() and (tree / "a").exists()
    last.drop_workspace(made)


def test_a_folder_on_another_disk_is_refused(cache: WorkerCache, tmp_path: Path) -> None:
    cache.check_links(tmp_path)
    with pytest.raises(InvalidRecipe, match="on two file systems.*name its new place in HALLMARK_HOME"):
        cache.check_links(Path("/proc"))
