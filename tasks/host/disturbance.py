"""Says whether something else on the host disturbed a timing.

    before = read_host()
    ...                                                     # what is timed
    lost = loss(before, read_host(), threads)
    reason(lost)                                            # "other processes took 0.9 of 2 cores", or None

A timing is right if its threads run whenever they are ready to. `loss` says how many cores they missed on average: to
other processes, to the hypervisor, and to the quota of their control group. The three have one unit, so they add up.

Threads of an engine wait for each other at every layer. So a timing loses at least the share that is missed, and soon
far more. Measured on two cores, with a model of 135 M parameters and two threads in llama.cpp:

    cores missed   0.00   0.15   0.33   1.35   1.75
    tokens/s        115    100     78     10    0.6

One thread, with others on the other core, missed nothing: 72 to 85 tokens/s, by what those did to the caches and the
memory that both cores share.

The signals, and what they are worth:

- Time that the own threads waited for a core (/proc/PID/task/*/schedstat). It says what is asked, to the microsecond.
  But threads of one process may also wait for each other, so only what other processes used of the cores counts.
- Time that other processes used (/proc/stat, less the own). In ticks of 10 ms. It is a loss only if no core was idle.
  Where the first signal is missing, as in some sandboxes, it stands in for it.
- Steal (/proc/stat): not in the first two.
- Throttling (cpu.stat of the control groups). Threads wait meanwhile, so the first signal has it, too: of a thread with
  a quota of 0.2 cores it counted 0.82 waited and 0.78 throttled cores. It is therefore taken from the first.
- Not used: pressure (/proc/pressure/cpu). It counts the waits of others, too. It was 100 % beside a timing at full
  speed, because others waited for the timing.

Seen by none of these: work on other cores that takes memory bandwidth, and a clock that slows down. The spread of the
repetitions shows some of it (`tasks.evaluation.speed`).
"""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.host.control_group import throttled_seconds
from tasks.host.proc import TICK_SECONDS, Process, core_seconds, descendants, used_seconds, waited_seconds

DISTURBED = 0.1
"""Missed cores beyond which a timing counts as disturbed: it is then about a tenth too slow, or more. The laptop stack
takes 0.05 cores if it is idle, and 0.17 while two tasks of a release run, as measured over half a minute: hence the
core that timings leave free (`tasks.pools`)."""

TOLERATED_SHARE = 0.005
"""Of the time of each thread. Every thread now and then waits for a moment, for the kernel's own threads, or after it
was woken, and the hypervisor takes moments of every core. On 64 cores, 0.2 % of each are 0.13 cores. So beyond 20
threads more than DISTURBED cores may be missed in all, but no more than DISTURBED by one thread: the others wait for
it."""

ERROR_SQUARED = 5
"""The error of n counts of ticks is at most n ticks. Each count is off by up to a tick at random, with a variance of a
sixth of a tick squared, so n counts are off by sqrt(5 n) ticks at most: five and a half standard deviations. Up to five
counts, n is less."""

QUOTA = "the quota of the control group took"
"""Begins the clause of `reason` about throttling."""

LOOK_SECONDS = 0.5
"""How long one look at a host takes at least."""

SHOWN = 0.05
"""Cores below which a cause is not named beside a larger one: they read as 0.0."""


@dataclass(frozen=True)
class Reading:
    """Counters at one moment, in seconds; all but `clock` are summed over cores. None: the kernel does not show it.

    clock: of the wall. used, waited: of this process and its descendants. busy, stolen: of the cores that this process
    may use. throttled: of its control groups. waits: `waited` of each living thread, by its id.
    """

    clock: float
    used: float
    waited: float | None
    busy: float | None
    stolen: float = 0.0
    throttled: float = 0.0
    cores: int = 1
    waits: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """The cores, on average, that a timing missed, and of how many.

    threads: of the timing. longest: what one of them missed because of other processes, at most.
    """

    others: float
    stolen: float
    throttled: float
    cores: int
    threads: int = 1
    longest: float = 0.0

    @property
    def total(self) -> float:
        """All missed cores."""
        return self.others + self.stolen + self.throttled


def read_host() -> Reading:
    """Return the counters of now."""
    allowed = os.sched_getaffinity(0)
    of_cores = core_seconds(allowed)
    own: list[Process] = ["self", *descendants("self")]
    found = [waits for process in own if (waits := waited_seconds(process)) is not None]
    waits = {thread: waited for of_process in found for thread, waited in of_process.items()}
    return Reading(
        clock=time.perf_counter(),
        used=sum(map(used_seconds, own)),
        waited=sum(waits.values()) if found else None,
        busy=of_cores[0] if of_cores else None,
        stolen=of_cores[1] if of_cores else 0.0,
        throttled=throttled_seconds() or 0.0,
        cores=len(allowed),
        waits=waits,
    )


def loss(before: Reading, after: Reading, threads: int) -> Loss:
    """Return what a timing of so many threads missed between two readings."""
    elapsed = _elapsed(before, after)
    throttled = after.throttled - before.throttled
    waited, used = _difference(before.waited, after.waited), _used_by_others(before, after)
    if waited is not None:
        waited = max(0.0, waited - throttled)
    if used is None:
        others = (waited or 0.0) / elapsed
    elif waited is None:
        others = crowding(before, after, threads)
    else:
        others = min(waited / elapsed, used + _blur(before, after))
    return Loss(
        others=others,
        stolen=(after.stolen - before.stolen) / elapsed,
        throttled=throttled / elapsed,
        cores=after.cores,
        threads=threads,
        longest=min(_longest_wait(before, after), (used or 0.0) + min(_blur(before, after), DISTURBED / 2)),
    )


def tolerated(threads: int) -> float:
    """Return how many cores a timing of so many threads may miss and still count."""
    return max(DISTURBED, TOLERATED_SHARE * threads)


def look_seconds(cores: int) -> float:
    """Return how long `crowding` must look at a host, so that the error of its counts is no larger than DISTURBED."""
    return max(LOOK_SECONDS, _error_ticks(cores) * TICK_SECONDS / DISTURBED)


def crowding(before: Reading, after: Reading, threads: int) -> float:
    """Return how many of `threads` cores other processes used: those beyond the cores that this process needs not.

    Between two readings this process may also have slept. It is 0 where the kernel does not show it.
    """
    used = _used_by_others(before, after) or 0.0
    return max(0.0, used - _blur(before, after) - max(0, after.cores - threads))


def reason(lost: Loss) -> str | None:
    """Return a clause that says what disturbed a timing, or None where it was not disturbed."""
    if lost.total <= tolerated(lost.threads) and lost.longest <= DISTURBED:
        return None
    causes = {
        "other processes took": lost.others,
        "the hypervisor took": lost.stolen,
        QUOTA: lost.throttled,
    }
    largest = max(causes.values())
    named = [f"{words} {cores:.1f}" for words, cores in causes.items() if cores == largest or cores >= SHOWN]
    return f"{' and '.join(named)} of {lost.cores} core{'s' if lost.cores > 1 else ''}"


def remedy(disturbed: str) -> str:
    """Return what helps against a disturbance that `reason` or a benchmark gave, as a clause."""
    if QUOTA in disturbed:
        return (
            "raise the processor quota of the worker's container, or lower 'cores' in [host] (for a declared pool: its "
            "'host_slots') in settings.toml to the quota, and run the release again"
        )
    return "run the release again on a quiet host"


def _elapsed(before: Reading, after: Reading) -> float:
    return max(after.clock - before.clock, TICK_SECONDS)


def _blur(before: Reading, after: Reading) -> float:
    """Return the error, in cores, of what /proc/stat says between two readings."""
    return _error_ticks(after.cores) * TICK_SECONDS / _elapsed(before, after)


def _error_ticks(cores: int) -> float:
    """Return by how many ticks the use of the cores by others may be wrong: each core's count, and the own one, is
    whole ticks."""
    counts = cores + 1
    return min(counts, math.sqrt(ERROR_SQUARED * counts))


def _longest_wait(before: Reading, after: Reading) -> float:
    """Return the share of the time for which the thread that waited longest had no core."""
    waits = (waited - before.waits.get(thread, 0.0) for thread, waited in after.waits.items())
    return max(waits, default=0.0) / _elapsed(before, after)


def _used_by_others(before: Reading, after: Reading) -> float | None:
    busy = _difference(before.busy, after.busy)
    if busy is None:
        return None
    return max(0.0, busy - (after.used - before.used)) / _elapsed(before, after)


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)
