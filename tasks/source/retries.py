"""Ask again when the Hub was only busy: with growing pauses, or after the time that it asked for."""

import email.utils
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled

from tasks.errors import HallmarkError, TransientError

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 120.0
"""Longer waits are the scheduler's: it retries the task, and its slot is free meanwhile."""

HUB_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled)
"""What the client raises for the Hub's and the network's faults; a full disk is an OSError too, and none of these."""

Answer = TypeVar("Answer")


class Patience:
    """Counts failures without progress and waits after each, until there were too many."""

    def __init__(self) -> None:
        self._failures = 0

    def progressed(self) -> None:
        """Forget the failures so far: something came through."""
        self._failures = 0

    def after(self, error: Exception, explained: HallmarkError) -> None:
        """Wait after a failure; raises `explained` where it is terminal, the last, or the wait would be too long."""
        self._failures += 1
        wait = pause(error, self._failures)
        if not isinstance(explained, TransientError) or self._failures >= ATTEMPTS or wait > LONGEST_PAUSE_SECONDS:
            raise explained from error
        time.sleep(wait)


def patiently(ask: Callable[[], Answer], explain: Callable[[Exception], HallmarkError]) -> Answer:
    """Return what `ask` returns, asked up to five times; `explain` turns what the client raised into our error."""
    patience = Patience()
    while True:
        try:
            return ask()
        except HUB_FAILURES as error:
            patience.after(error, explain(error))


def pause(error: Exception, failures: int) -> float:
    """Return the seconds to wait after so many failures: what Retry-After says, else doubling, with some jitter."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After") if response is not None else None
    seconds = _retry_after(asked) if asked else None
    if seconds is not None:
        return seconds
    spread = random.uniform(0.75, 1.25)  # noqa: S311  # so that clients that failed together do not return together
    return float(FIRST_PAUSE_SECONDS * 2 ** (failures - 1) * spread)


def _retry_after(text: str) -> float | None:
    """Parse the header's two forms (RFC 9110, 10.2.3): seconds, or a date."""
    if seconds := re.fullmatch("[0-9]+", text.strip()):
        return float(seconds[0])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
