"""How much memory a job holds, how much it may, and how one that died of it is told."""

import time

from tasks.contract import Failure
from tasks.host.control_group import kernel_kills
from tasks.host.process_group import memory_held
from tasks.host.shortage import MEND_MEMORY, megabytes

LOOK_SECONDS = 1.0
"""Looking costs a fraction of a millisecond; what a job takes in between, the kernel tells when it has ended."""

OWN_SHARE = 0.8
"""A job that held so much of the host's memory dies again; the rest is what the host itself and this watching miss."""


class MemoryWatch:
    """Looks at one job; `peak_bytes` is the most it was seen to hold."""

    def __init__(self, limit_bytes: int, predicted_bytes: int | None = None) -> None:
        self.peak_bytes = 0
        self._limit = limit_bytes
        self._predicted = predicted_bytes
        self._kills_before = kernel_kills()
        self._next = 0.0

    def exceeded(self, group: int) -> bool:
        """Look, unless it was just done; whether the job's process group holds more than the host has."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + LOOK_SECONDS
        held = memory_held(group)
        self.peak_bytes = max(self.peak_bytes, held)
        return held > self._limit

    def kernel_has_killed(self) -> bool:
        """Whether the kernel has killed for want of memory since this watch began."""
        return kernel_kills() > self._kills_before

    def failure(self, message: str) -> Failure:
        """Return the failure of a job that the kernel let have no more memory, with the numbers put into its message.

        It is terminal where the job alone filled the host; otherwise others did, and it may be tried again.
        """
        alone = self.peak_bytes > OWN_SHARE * self._limit
        return Failure(
            kind="terminal" if alone else "transient",
            error="MemoryExceeded" if alone else "OutOfMemory",
            message=f"{message.removesuffix(MEND_MEMORY)} ({self._numbers()}){MEND_MEMORY}",
        )

    def ended(self) -> Failure:
        """Return the failure of a job that was ended because it exceeded the limit."""
        message = (
            f"The task was ended because it took more memory than this host has for it ({self._numbers()}); "
            "run it on a host with more memory, or raise memory_bytes under [host] in settings.toml."
        )
        return Failure(kind="terminal", error="MemoryExceeded", message=message)

    def _numbers(self) -> str:
        reached = f"it reached {megabytes(self.peak_bytes)} of {megabytes(self._limit)}"
        return reached if self._predicted is None else f"{reached}; preflight predicted {megabytes(self._predicted)}"
