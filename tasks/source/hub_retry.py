"""Ask again when the Hub was only busy: with growing pauses, or after the time that it asks for, minutes long."""

import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # not in its stub of exports

from tasks.errors import HallmarkError, TransientError

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0

HUB_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled)
"""What the client raises for the Hub's and the network's faults; a full disk is an OSError too, and none of these."""

Answer = TypeVar("Answer")
Progress = Callable[[str], object]
"""Is told each wait: how long, and why."""


class Patience:
    """Counts failures without progress and waits after each, until there were too many."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._failures = 0

    def progressed(self) -> None:
        """Forget the failures so far: something came through."""
        self._failures = 0

    def after(self, error: Exception, explained: HallmarkError) -> None:
        """Wait after a failure; raises `explained` where it is terminal, or the last.

        What the Hub asks for is waited for after the last, too: the task is retried in seconds.
        """
        if not isinstance(explained, TransientError):
            raise explained from error
        self._failures += 1
        asked, last = asked_wait(error), self._failures >= ATTEMPTS
        if asked is not None:
            self._progress(f"{explained} Waiting {asked:.0f} s, as the Hub asks.")
            time.sleep(asked)
        elif not last:
            wait = pause(self._failures)
            self._progress(f"{explained} Waiting {wait:.0f} s.")
            time.sleep(wait)
        if last:
            raise explained from error


def patiently(ask: Callable[[], Answer], explain: Callable[[Exception], HallmarkError], progress: Progress) -> Answer:
    """Return what `ask` returns, asked up to five times; `explain` turns what the client raised into our error."""
    patience = Patience(progress)
    while True:
        try:
            return ask()
        except HUB_FAILURES as error:
            patience.after(error, explain(error))


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures: doubling, with some jitter."""
    spread = random.uniform(0.75, 1.25)  # noqa: S311  # so that clients that failed together do not return together
    return float(FIRST_PAUSE_SECONDS * 2 ** (failures - 1) * spread)


def asked_wait(error: Exception) -> float | None:
    """Return the seconds for which the Hub asks to be left alone, if it does.

    By Retry-After, or by RateLimit, with which it tells when the window ends whose requests are used up; or by both.
    """
    response = getattr(error, "response", None)
    if response is None:
        return None
    told = (_retry_after(response.headers.get("Retry-After", "")), _window_left(response.headers))
    return max((seconds for seconds in told if seconds is not None), default=None)


def _window_left(headers: Mapping[str, str]) -> float | None:
    try:
        limit = parse_ratelimit_headers(headers)
        return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None
    except (ValueError, OverflowError):
        # A number of hundreds of digits.
        return None


def _retry_after(text: str) -> float | None:
    """Parse the header's two forms (RFC 9110, 10.2.3): seconds, or a date."""
    if seconds := re.fullmatch("[0-9]+", text.strip()):
        return float(seconds[0])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
