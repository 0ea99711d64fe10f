"""Retries work that failed for a temporary reason: how long to pause, when to give up, and what to report.

    retry = Retry([1.0, 2.0, 4.0], print)
    while True:
        try:
            return ask()
        except StoreUnavailable as error:
            retry.failed(error)

This example tries up to four times and reports each pause. Who retries chooses the errors and the pauses, such as
`tasks.store.outage` for the store, and `tasks.source.hub_retry` for the Hub.

(tenacity does this and more, but only the runtimes with Airflow have it.)
"""

from collections.abc import Callable, Sequence
from time import sleep

from tasks.errors import HallmarkError, TransientError

Progress = Callable[[str], object]
"""Receives a line for each pause, with its reason and its length."""


class Retry:
    """Counts the failures of one piece of work since its last progress, and pauses after each.

    pauses: seconds to wait after the first failure, the second, and so on; the failure after the last is final.
    """

    def __init__(self, pauses: Sequence[float], progress: Progress) -> None:
        self._pauses = pauses
        self._progress = progress
        self._failures = 0

    def progressed(self) -> None:
        """Forget the failures so far, because a part of the work was done."""
        self._failures = 0

    def failed(self, error: HallmarkError, asked: float | None = None) -> None:
        """Pause after a failure. Raises `error` if it is terminal or if no try is left.

        asked: the seconds that the server asks the client to wait, if any; they replace the pause. The wait is made
            after the last failure, too, because Airflow then retries the task within seconds.
        """
        if not isinstance(error, TransientError):
            raise error
        last = self._failures >= len(self._pauses)
        if asked is not None:
            self._progress(f"{error} Trying again in {asked:.0f} s, as the server asks.")
            sleep(asked)
        elif not last:
            pause = self._pauses[self._failures]
            self._progress(f"{error} Trying again in {pause:.0f} s.")
            sleep(pause)
        self._failures += 1
        if last:
            raise error
