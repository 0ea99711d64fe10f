"""Pauses come in order, then the error; a server may ask for another; progress begins anew; terminal errors end it."""

import pytest

from tasks import retry
from tasks.errors import DiskFull, HubUnavailable
from tasks.retry import Retry

BUSY = HubUnavailable("It is busy.")


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; they cost nothing."""
    pauses: list[float] = []
    monkeypatch.setattr(retry, "sleep", pauses.append)
    return pauses


def test_it_pauses_reports_and_gives_up(slept: list[float]) -> None:
    told: list[str] = []
    tries = Retry([1.0, 2.4], told.append)
    for _ in range(2):
        tries.failed(BUSY)
    with pytest.raises(HubUnavailable, match="busy"):
        tries.failed(BUSY)
    assert slept == [1.0, 2.4]
    assert told == ["It is busy. Trying again in 1 s.", "It is busy. Trying again in 2 s."]


def test_without_pauses_there_is_one_try(slept: list[float]) -> None:
    with pytest.raises(HubUnavailable):
        Retry([], print).failed(BUSY)
    assert slept == []


def test_what_a_server_asks_for_is_waited_in_place_of_a_pause_and_after_the_last_failure(slept: list[float]) -> None:
    tries = Retry([1.0], print)
    tries.failed(BUSY, asked=30.0)
    with pytest.raises(HubUnavailable):
        tries.failed(BUSY, asked=40.0)
    assert slept == [30.0, 40.0]


def test_progress_begins_anew(slept: list[float]) -> None:
    tries = Retry([1.0, 2.0], print)
    for _ in range(5):
        tries.failed(BUSY)
        tries.progressed()
    assert slept == [1.0] * 5


def test_a_terminal_error_is_raised_at_once(slept: list[float]) -> None:
    with pytest.raises(DiskFull):
        Retry([1.0], print).failed(DiskFull("It is full."), asked=30.0)
    assert slept == []
