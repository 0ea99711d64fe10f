"""Retry requests to the Hub: which of its client's errors may pass, how long to pause, and what the Hub asks for.

The Hub asks for a wait by the header `Retry-After` or `RateLimit`; the wait may be minutes long.
"""

import email.utils
import random
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # not in its stub of exports

from tasks.errors import HallmarkError
from tasks.retry import Progress, Retry

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0

HUB_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled)
"""What the client raises for faults of the Hub and the network. OSError is not among them: a full disk raises it."""

Answer = TypeVar("Answer")


def new_retry(progress: Progress) -> Retry:
    """Return the retries of one request: up to ATTEMPTS tries without progress, with pauses that double."""
    return Retry([pause(failures) for failures in range(1, ATTEMPTS)], progress)


def retry_hub(ask: Callable[[], Answer], explain: Callable[[Exception], HallmarkError], progress: Progress) -> Answer:
    """Return what `ask` returns; after HUB_FAILURES it is retried.

    explain: turns what the client raised into an error of ours.

    Raises that error at once where it is terminal, and after the last try.
    """
    retry = new_retry(progress)
    while True:
        try:
            return ask()
        except HUB_FAILURES as error:
            retry.failed(explain(error), asked_wait(error))


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures: doubling, with some jitter."""
    spread = random.uniform(0.75, 1.25)  # noqa: S311  # clients that failed together must not return together
    return float(FIRST_PAUSE_SECONDS * 2 ** (failures - 1) * spread)


def asked_wait(error: Exception) -> float | None:
    """Return the seconds that the Hub asks to wait, or None where it does not ask.

    `Retry-After` says so directly. `RateLimit` says when the window ends whose requests are used up. The longer wait
    of the two counts.
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
