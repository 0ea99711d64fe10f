"""How much memory a job holds and may hold, and the failure of a job that ran out of it."""

import time

from tasks.contract import Failure
from tasks.errors import MemoryExceeded, OutOfMemory
from tasks.host.control_group import kernel_kills
from tasks.host.process_group import memory_held
from tasks.host.shortage import FIX_MEMORY, megabytes

LOOK_SECONDS = 1.0
"""A look costs a fraction of a millisecond; the kernel reports the peak of a process when it has ended."""

OWN_SHARE = 0.8
"""A job that held this share of the host's memory would run out again; the host itself needs the rest."""


class MemoryWatch:
    """Watches one job; `peak_bytes` is the most that it was seen to hold."""

    def __init__(self, limit_bytes: int, predicted_bytes: int | None = None) -> None:
        self.peak_bytes = 0
        self._limit = limit_bytes
        self._predicted = predicted_bytes
        self._kills_before = kernel_kills()
        self._next = 0.0

    def exceeded(self, group: int) -> bool:
        """Return whether the job's process group holds more memory than the host has; looks once a second at most."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + LOOK_SECONDS
        held = memory_held(group)
        self.peak_bytes = max(self.peak_bytes, held)
        return held > self._limit

    def kernel_has_killed(self) -> bool:
        """Return whether the kernel has killed a process for memory since this watch began."""
        return kernel_kills() > self._kills_before

    def failure(self, message: str) -> Failure:
        """Return the failure of a job that got no more memory, with the numbers added to its message.

        It is terminal where the job alone filled the host; otherwise others did, and a retry may help.
        """
        alone = self.peak_bytes > OWN_SHARE * self._limit
        error = MemoryExceeded if alone else OutOfMemory
        return Failure.of(error(f"{message.removesuffix(FIX_MEMORY)} ({self._numbers()}){FIX_MEMORY}"))

    def ended(self) -> Failure:
        """Return the failure of a job that was ended because it held more than the limit."""
        message = (
            f"The task was ended because it took more memory than this host has for it ({self._numbers()}); "
            "run it on a host with more memory, or raise memory_bytes under [host] in settings.toml."
        )
        return Failure.of(MemoryExceeded(message))

    def _numbers(self) -> str:
        reached = f"it reached {megabytes(self.peak_bytes)} of {megabytes(self._limit)}"
        return reached if self._predicted is None else f"{reached}; preflight predicted {megabytes(self._predicted)}"
