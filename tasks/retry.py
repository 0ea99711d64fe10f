"""Wait an outage of the store out, where to give up would throw hours of work away."""

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from tasks.errors import StoreUnavailable

PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)
"""Seconds between the tries: four minutes, and half a minute of each try's own (`tasks.store.s3.ATTEMPTS`).

A server that is moved to another host is back by then. A conversion takes longer; one whose store stays away ends.
"""

Done = TypeVar("Done")


def patiently(
    do: Callable[[], Done], progress: Callable[[str], object], again: Callable[[], Done] | None = None
) -> Done:
    """Return what `do` returns; after StoreUnavailable it, or `again` in its place, is tried until PAUSES are over.

    Each wait is told to `progress`. Raises the last StoreUnavailable, and every other error at once.
    """
    for pause in PAUSES:
        try:
            return do()
        except StoreUnavailable as error:
            progress(f"{error} Trying again in {pause:g} s.")
            sleep(pause)
            do = again or do
    return do()
