"""Wait for a store that is unavailable while a task's output is sent: the output is worth hours of work."""

from collections.abc import Callable
from typing import TypeVar

from tasks.errors import StoreUnavailable
from tasks.retry import Progress, Retry

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)
"""Seconds between tries: four minutes in all. Each try takes up to half a minute more (`tasks.store.s3.ATTEMPTS`).

A server that is moved to another host is back within that time. Then the task fails: waiting longer would keep its
slots from others.
"""

Done = TypeVar("Done")


def retry_store(do: Callable[[], Done], progress: Progress, again: Callable[[], Done] | None = None) -> Done:
    """Return what `do` returns; after StoreUnavailable it is retried with PAUSES, each reported to `progress`.

    again: what is called instead of `do` from the second try on.

    Raises the last StoreUnavailable, and every other error at once.
    """
    retry = Retry(PAUSES, progress)
    while True:
        try:
            return do()
        except StoreUnavailable as error:
            retry.failed(error)
            do = again or do
