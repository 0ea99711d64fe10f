"""Meters a span of time: what all processes below used, the peak of their memory, and what others did meanwhile."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.processes import SERVERS, Usage, descendants, memory_bytes, usage_by_part
from tasks.model import Model

SAMPLE_SECONDS, FIRST_SAMPLES, FIRST_SECONDS = 2.0, 40, 0.25
"""Between looks at memory, and how many come sooner, for what lasts seconds: a look costs tens of milliseconds."""

QUIET = 0.3
"""Processors that others may have used on average; beyond that, wall times are not to be trusted."""


class Metered(Model):
    """What was used in a span: seconds, bytes, by each part (see processes); `others` are processors used by others.

    peak_memory_bytes: of all counted processes together at one time, sampled; servers that are not counted left out.
    """

    wall_seconds: float
    cpu_seconds: float
    cpu_by_part: dict[str, float]
    peak_memory_bytes: int
    bytes_read: int
    bytes_written: int
    disk_bytes_read: int
    disk_bytes_written: int
    load_before: float
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether others kept the machine busy."""
        return self.others > QUIET


class Meter:
    """Filled when its span has ended."""

    result: Metered


@contextmanager
def meter(uncounted: frozenset[str]) -> Iterator[Meter]:
    """Measure what happens inside; the parts in `uncounted` serve, but are not what is measured."""
    metered, peak, stop = Meter(), _Peak(uncounted), threading.Event()
    load = os.getloadavg()[0]
    watcher = threading.Thread(target=peak.watch, args=(stop,), daemon=True)
    watcher.start()
    before, busy, own, began = usage_by_part(), _busy_seconds(), time.process_time(), time.monotonic()
    try:
        yield metered
    finally:
        wall, after = time.monotonic() - began, usage_by_part()
        busy, own = _busy_seconds() - busy, time.process_time() - own
        stop.set()
        watcher.join()
    used = {part: after[part] - before[part] for part in after}
    everything = sum(part.cpu for part in used.values())
    counted = sum((use for part, use in used.items() if part not in uncounted), Usage())
    metered.result = Metered(
        wall_seconds=round(wall, 2),
        cpu_seconds=round(counted.cpu, 2),
        cpu_by_part={part: round(use.cpu, 2) for part, use in used.items()},
        peak_memory_bytes=peak.bytes,
        bytes_read=counted.rchar,
        bytes_written=counted.wchar,
        disk_bytes_read=counted.read_bytes,
        disk_bytes_written=counted.write_bytes,
        load_before=round(load, 2),
        others=round(max(0.0, busy - everything - own) / wall, 2),
    )


ALL_SERVERS = frozenset(SERVERS.values())


class _Peak:
    def __init__(self, uncounted: frozenset[str]) -> None:
        self.bytes, self._uncounted = 0, uncounted

    def watch(self, stop: threading.Event) -> None:
        looks = itertools.count()
        while not stop.wait(FIRST_SECONDS if next(looks) < FIRST_SAMPLES else SAMPLE_SECONDS):
            pids = {pid: part for pid, part in descendants().items() if part not in self._uncounted}
            self.bytes = max(self.bytes, memory_bytes(pids))


def _busy_seconds() -> float:
    """Return the seconds that all processors of this machine have worked since its start."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)
