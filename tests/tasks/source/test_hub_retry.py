"""Pauses double, what the Hub asks for is honoured in all forms; terminal errors and many failures end it."""

import email.utils
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from tasks.errors import HallmarkError, HubUnavailable, NotFound, RateLimited, TerminalError
from tasks.source.hub_errors import LONGEST_WAIT_SECONDS, explain
from tasks.source.hub_retry import ATTEMPTS, asked_wait, new_retry, pause, retry_hub


def answered(retry_after: str | None, rate_limit: str | None = None) -> HfHubHTTPError:
    told = {"Retry-After": retry_after, "RateLimit": rate_limit}
    headers = {name: text for name, text in told.items() if text is not None}
    request = httpx2.Request("GET", "http://127.0.0.1/")
    return HfHubHTTPError("busy", response=httpx2.Response(429, headers=headers, request=request))


@dataclass
class Naps:
    """Stands in for sleep."""

    taken: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    naps = Naps()
    monkeypatch.setattr("tasks.retry.sleep", naps)
    return naps


def away(error: Exception) -> HallmarkError:
    return HubUnavailable(str(error))


def explained(error: Exception) -> HallmarkError:
    return explain(error, "https://hub.test", "acme/tiny", "main")


def test_the_hub_says_how_long_to_wait() -> None:
    assert asked_wait(answered("7")) == 7
    in_a_minute = asked_wait(answered(email.utils.formatdate(time.time() + 60, usegmt=True)))
    assert in_a_minute is not None and 57 < in_a_minute <= 60
    without_zone = asked_wait(answered(email.utils.formatdate(time.time() + 60)))
    assert without_zone is not None and 57 < without_zone <= 60
    assert asked_wait(answered(email.utils.formatdate(0, usegmt=True))) == 0


@pytest.mark.parametrize(
    ("rate_limit", "retry_after", "wait"),
    [
        ('"resolvers";r=0;t=271', None, 271),
        ('"api"; r=0; t=55', "7", 55),
        ('"api";r=0;t=5', "7", 7),
        ('"api";r=12;t=271', None, None),
        (f'"api";r=0;t={"9" * 5000}', None, None),
        ("soon", None, None),
    ],
)
def test_the_hub_says_when_its_window_ends(rate_limit: str, retry_after: str | None, wait: float | None) -> None:
    assert asked_wait(answered(retry_after, rate_limit)) == wait


@pytest.mark.parametrize("header", [None, "soon", ""])
def test_without_a_usable_answer_nothing_is_asked_for(header: str | None) -> None:
    assert asked_wait(answered(header)) is None


def test_pauses_double() -> None:
    assert all(0.75 <= pause(1) <= 1.25 for _ in range(100))
    assert 6 <= pause(4) <= 10


def test_an_answer_at_last_is_returned(naps: Naps) -> None:
    failures = iter([answered("3"), httpx2.ConnectError("refused")])

    def ask() -> str:
        for failure in failures:
            raise failure
        return "here"

    assert retry_hub(ask, away, print) == "here"
    assert naps.taken[0] == 3 and len(naps.taken) == 2


def test_it_ends_after_so_many_failures(naps: Naps) -> None:
    def ask() -> str:
        raise httpx2.ConnectError("refused")

    with pytest.raises(HubUnavailable, match="refused"):
        retry_hub(ask, away, print)
    assert len(naps.taken) == ATTEMPTS - 1


def test_a_terminal_error_is_raised_at_once(naps: Naps) -> None:
    def ask() -> str:
        raise answered("3")

    with pytest.raises(NotFound):
        retry_hub(ask, lambda _: NotFound("no such thing"), print)
    assert naps.taken == []


@pytest.mark.parametrize("seconds", [300, int(LONGEST_WAIT_SECONDS)])
def test_the_hubs_window_is_waited_for_and_reported(naps: Naps, seconds: int) -> None:
    failures, lines = iter([answered(str(seconds))]), list[str]()

    def ask() -> str:
        for failure in failures:
            raise failure
        return "here"

    assert retry_hub(ask, explained, lines.append) == "here"
    assert naps.taken == [seconds]
    assert lines == [
        "https://hub.test answered 429 for acme/tiny; try again later. "
        f"Trying again in {seconds} s, as the server asks."
    ]


def test_a_task_that_gives_up_does_so_after_the_wait_that_it_was_asked_for(naps: Naps) -> None:
    """Its next try begins in seconds."""

    def ask() -> str:
        raise answered("300")

    with pytest.raises(HubUnavailable, match="answered 429"):
        retry_hub(ask, explained, print)
    assert naps.taken == [300] * ATTEMPTS


@pytest.mark.parametrize("seconds", ["3600", "9" * 400])
def test_an_hour_is_not_waited_for_and_not_tried_again_before(naps: Naps, seconds: str) -> None:
    asked = 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        raise answered(seconds)

    begun = datetime.now(UTC)
    with pytest.raises(RateLimited, match="answered 429 for acme/tiny") as told:
        retry_hub(ask, explained, print)
    assert isinstance(told.value, TerminalError) and (naps.taken, asked) == ([], 1)
    told_time = re.search(r"asks for a pause until (.*) UTC; run the release again then\.$", str(told.value))
    assert told_time
    until = datetime.strptime(told_time[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert until >= begun + timedelta(seconds=3600)


def test_progress_forgives_failures(naps: Naps) -> None:
    retry = new_retry(print)
    for _ in range(3 * ATTEMPTS):
        retry.failed(HubUnavailable("busy"), 0.0)
        retry.progressed()


def test_what_is_not_the_hubs_fault_passes(naps: Naps) -> None:
    def ask() -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        retry_hub(ask, away, print)
