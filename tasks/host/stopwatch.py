"""Times actions, says what disturbed each of them, and waits for a quiet host, within a limit.

    watch = Stopwatch(threads=2, wait_seconds=15.0)
    model, lap = watch.time(load_model)
    lap.seconds, lap.disturbed                    # 1.3, "other processes took 0.9 of 2 cores"

It waits before the first action, and before each action that follows a disturbed one. The limit is on all that the
disturbance costs: on the waits, and on the actions that were disturbed. When it is used up, nothing waits any more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tasks.host.disturbance import Loss, Reading, crowding, look_seconds, loss, read_host, reason, tolerated

Result = TypeVar("Result")


@dataclass(frozen=True)
class Lap:
    """One timed action: its seconds, and what it missed meanwhile."""

    seconds: float
    lost: Loss

    @property
    def disturbed(self) -> str | None:
        """What disturbed it, as a clause, or None."""
        return reason(self.lost)


class Stopwatch:
    """Times actions of `threads` threads. `on_wait` is called once, when it waits for the first time.

    wait_seconds: what disturbances may cost all actions together.
    """

    def __init__(
        self,
        threads: int,
        wait_seconds: float,
        on_wait: Callable[[], None] = lambda: None,
        read: Callable[[], Reading] = read_host,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._threads, self._on_wait, self._read, self._sleep = threads, on_wait, read, sleep
        self._limit = self._left = wait_seconds
        self._quiet = self._disturbed = self._reported = False

    @property
    def may_wait(self) -> bool:
        """Whether it would still wait for a quiet host."""
        return self._left > 0

    @property
    def cost(self) -> float:
        """The seconds that disturbances have cost so far: waits for a quiet host, and disturbed actions."""
        return self._limit - self._left

    @property
    def gives_up(self) -> bool:
        """Whether the last action was disturbed, and it would no longer wait for a quiet host."""
        return self._disturbed and not self.may_wait

    def time(self, action: Callable[[], Result]) -> tuple[Result, Lap]:
        """Do the action. Return its result and its lap."""
        self._wait_until_quiet()
        before = self._read()
        result = action()
        after = self._read()
        lap = Lap(after.clock - before.clock, loss(before, after, self._threads))
        self._disturbed = lap.disturbed is not None
        self._quiet = not self._disturbed
        if self._disturbed:
            self._left -= lap.seconds
        return result, lap

    def _wait_until_quiet(self) -> None:
        while not self._quiet and self.may_wait:
            before = self._read()
            self._sleep(look_seconds(before.cores))
            after = self._read()
            if crowding(before, after, self._threads) <= tolerated(self._threads):
                self._quiet = True
                return
            self._left -= after.clock - before.clock
            if not self._reported:
                self._reported = True
                self._on_wait()
