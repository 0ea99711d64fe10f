"""A timing has the host for itself; nobody else waits, and nobody waits for a process that was killed."""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.host import timing_lock as module
from tasks.host.timing_lock import timing_lock

FORK = multiprocessing.get_context("fork")


NOBODY = 65534


def _hold(alone: bool, home: Path | None, user: int | None, waits: Any, holds: Any, end: Any) -> None:
    if home:
        os.environ["HALLMARK_HOME"] = str(home)
    os.umask(0o077)
    if user is not None:
        os.setuid(user)
    with timing_lock(alone, waits.set):
        holds.set()
        end.wait(60)


@dataclass
class Holder:
    """A process that takes the host's lock, and holds it until its end, with a state folder and a user of its own."""

    alone: bool = False
    home: Path | None = None
    user: int | None = None
    waits: Any = field(default_factory=FORK.Event)
    holds: Any = field(default_factory=FORK.Event)
    end: Any = field(default_factory=FORK.Event)

    def __post_init__(self) -> None:
        given = (self.alone, self.home, self.user, self.waits, self.holds, self.end)
        self.process = FORK.Process(target=_hold, args=given)
        self.process.start()

    def finish(self) -> None:
        self.end.set()
        self.process.join(20)


Start = Callable[..., Holder]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the host's, that every user may write to."""
    folder = Path(tempfile.mkdtemp(dir=module.FOLDER))
    folder.chmod(0o1777)
    monkeypatch.setattr(module, "FOLDER", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    holders: list[Holder] = []

    def start(**given: Any) -> Holder:
        holders.append(Holder(**given))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.process.join()


def test_tasks_run_side_by_side_and_wait_for_nothing(start: Start) -> None:
    both = [start(), start()]
    assert all(task.holds.wait(20) for task in both)
    assert not any(task.waits.is_set() for task in both)


def test_a_timing_waits_for_the_tasks_that_run_and_reports_it(start: Start) -> None:
    task = start()
    assert task.holds.wait(20)
    timing = start(alone=True)
    assert timing.waits.wait(20) and not timing.holds.wait(0.3)
    task.finish()
    assert timing.holds.wait(20)


def test_nothing_runs_beside_a_timing(start: Start) -> None:
    timing = start(alone=True)
    assert timing.holds.wait(20) and not timing.waits.is_set()
    later = [start(), start(alone=True)]
    assert all(one.waits.wait(20) for one in later) and not any(one.holds.wait(0.3) for one in later)
    timing.finish()
    assert any(one.holds.wait(20) for one in later)


def test_a_stream_of_tasks_does_not_starve_a_timing(start: Start) -> None:
    first = start()
    assert first.holds.wait(20)
    timing = start(alone=True)
    assert timing.waits.wait(20)
    time.sleep(0.2)
    later = [start() for _ in range(3)]
    assert all(task.waits.wait(20) for task in later)
    first.finish()
    assert timing.holds.wait(20) and not any(task.holds.is_set() for task in later)
    timing.finish()
    assert all(task.holds.wait(20) for task in later)


@pytest.mark.parametrize("alone", [True, False])
def test_a_holder_that_is_killed_frees_the_host(start: Start, alone: bool) -> None:
    killed = start(alone=alone)
    assert killed.holds.wait(20)
    waiting = start(alone=True)
    assert waiting.waits.wait(20) and not waiting.holds.is_set()
    killed.process.kill()
    assert waiting.holds.wait(20)


def test_a_wait_is_reported_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = start(alone=True)
    assert timing.holds.wait(20)
    reports: list[int] = []

    def end_soon() -> None:
        time.sleep(0.5)
        timing.end.set()

    FORK.Process(target=end_soon).start()
    with timing_lock(False, lambda: reports.append(1)):
        assert reports == [1]


def test_the_lock_is_the_hosts_whatever_the_state_folder(start: Start, tmp_path: Path) -> None:
    task = start(home=tmp_path / "one")
    assert task.holds.wait(20)
    timing = start(alone=True, home=tmp_path / "two")
    assert timing.waits.wait(20) and not timing.holds.wait(0.3)
    task.finish()
    assert timing.holds.wait(20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_lock_is_the_hosts_whatever_the_user(start: Start, folder: Path) -> None:
    """The other user may not write to the lock's file, which was made with a strict umask."""
    task = start()
    assert task.holds.wait(20)
    timing = start(alone=True, user=NOBODY)
    assert timing.waits.wait(20) and not timing.holds.wait(0.3)
    task.finish()
    assert timing.holds.wait(20)


def test_without_that_folder_the_lock_is_the_state_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.setattr(module, "FOLDER", tmp_path / "missing")
    task = start(home=tmp_path / "one")
    assert task.holds.wait(20)
    timing = start(alone=True, home=tmp_path / "one")
    assert timing.waits.wait(20)
    task.finish()
    assert timing.holds.wait(20) and (tmp_path / "one/locks/hallmark-timing").exists()
