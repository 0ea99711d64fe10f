"""Pauses double, Retry-After is honoured in both forms; terminal errors, many failures and long waits end it."""

import email.utils
import time
from dataclasses import dataclass, field

import httpx2
import pytest

from tasks.errors import HallmarkError, HubUnavailable, NotFound
from tasks.source.retries import ATTEMPTS, Patience, patiently, pause


def answered(retry_after: str | None) -> httpx2.HTTPStatusError:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    request = httpx2.Request("GET", "http://127.0.0.1/")
    return httpx2.HTTPStatusError(
        "busy", request=request, response=httpx2.Response(429, headers=headers, request=request)
    )


@dataclass
class Naps:
    """Stands in for time.sleep."""

    taken: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    naps = Naps()
    monkeypatch.setattr("tasks.source.retries.time.sleep", naps)
    return naps


def away(error: Exception) -> HallmarkError:
    return HubUnavailable(str(error))


def test_the_hub_says_how_long_to_wait() -> None:
    assert pause(answered("7"), 1) == 7
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 57 < pause(answered(in_a_minute), 1) <= 60
    assert pause(answered(email.utils.formatdate(0, usegmt=True)), 1) == 0


@pytest.mark.parametrize("header", [None, "soon", ""])
def test_without_a_usable_answer_pauses_double(header: str | None) -> None:
    assert 0.75 <= pause(answered(header), 1) <= 1.25
    assert 6 <= pause(answered(header), 4) <= 10


def test_an_answer_at_last_is_returned(naps: Naps) -> None:
    failures = iter([answered("3"), httpx2.ConnectError("refused")])

    def ask() -> str:
        for failure in failures:
            raise failure
        return "here"

    assert patiently(ask, away) == "here"
    assert naps.taken[0] == 3 and len(naps.taken) == 2


def test_it_ends_after_so_many_failures(naps: Naps) -> None:
    def ask() -> str:
        raise httpx2.ConnectError("refused")

    with pytest.raises(HubUnavailable, match="refused"):
        patiently(ask, away)
    assert len(naps.taken) == ATTEMPTS - 1


def test_a_terminal_error_is_raised_at_once(naps: Naps) -> None:
    def ask() -> str:
        raise answered("3")

    with pytest.raises(NotFound):
        patiently(ask, lambda _: NotFound("no such thing"))
    assert naps.taken == []


def test_an_hour_is_left_to_the_scheduler(naps: Naps) -> None:
    with pytest.raises(HubUnavailable):
        Patience().after(answered("3600"), HubUnavailable("busy"))
    assert naps.taken == []


def test_progress_forgives_failures(naps: Naps) -> None:
    patience = Patience()
    for _ in range(3 * ATTEMPTS):
        patience.after(answered("0"), HubUnavailable("busy"))
        patience.progressed()


def test_what_is_not_the_hubs_fault_passes(naps: Naps) -> None:
    def ask() -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        patiently(ask, away)
