"""Two never hold one lock, though its file may be removed at any moment by who holds it."""

import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tasks.host.file_lock import exclusive_lock, shared_lock, try_lock

FORK = multiprocessing.get_context("fork")

ROUNDS = 200


def _count(lock: Path, counter: Path) -> None:
    """Add one under the lock, without any other safety, and remove the lock's file each time."""
    for _ in range(ROUNDS):
        with exclusive_lock(lock):
            counter.write_text(str(int(counter.read_text()) + 1))
            lock.unlink()


def test_nobody_comes_in_between_though_the_file_goes(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [FORK.Process(target=_count, args=(tmp_path / "locks" / "lock", counter)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert int(counter.read_text()) == 4 * ROUNDS
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_lock_that_is_held_is_not_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive_lock(lock), try_lock(lock) as free:
        assert not free
    with try_lock(lock) as free:
        assert free


def test_a_lock_that_several_hold_is_free_after_the_last(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with shared_lock(lock):
        with shared_lock(lock), try_lock(lock) as free:
            assert not free
        with try_lock(lock) as free:
            assert not free
    with try_lock(lock) as free:
        assert free


@pytest.mark.parametrize("lock", [exclusive_lock, shared_lock])
def test_only_a_wait_is_reported(tmp_path: Path, lock: Callable[..., AbstractContextManager[None]]) -> None:
    path, reports = tmp_path / "locks" / "lock", list[str]()
    with lock(path, lambda: reports.append("for a lock that is free")):
        pass
    assert reports == []
    held = ExitStack()
    held.enter_context(exclusive_lock(path))

    def report() -> None:
        reports.append("for a lock that is held")
        held.close()

    with lock(path, report):
        assert reports == ["for a lock that is held"]


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with try_lock(tmp_path / "gone" / "lock") as free:
        assert not free
    assert list(tmp_path.iterdir()) == []


def test_an_error_within_gets_out_and_lets_go(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "lock"):
        (tmp_path / "nothing").read_text()
    with try_lock(tmp_path / "lock") as free:
        assert free
