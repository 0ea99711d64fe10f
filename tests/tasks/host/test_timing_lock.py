"""A timing has the host for itself; nobody else waits, and nobody waits for a process that was killed."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.host.timing_lock import timing_lock

FORK = multiprocessing.get_context("fork")


def _hold(alone: bool, waits: Any, holds: Any, end: Any) -> None:
    with timing_lock(alone, waits.set):
        holds.set()
        end.wait(60)


@dataclass
class Holder:
    """A process that takes the host's lock, and holds it until its end."""

    alone: bool = False
    waits: Any = field(default_factory=FORK.Event)
    holds: Any = field(default_factory=FORK.Event)
    end: Any = field(default_factory=FORK.Event)

    def __post_init__(self) -> None:
        self.process = FORK.Process(target=_hold, args=(self.alone, self.waits, self.holds, self.end))
        self.process.start()

    def finish(self) -> None:
        self.end.set()
        self.process.join(20)


Start = Callable[..., Holder]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
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
