"""What a timing lost to others, by planted counters of every kind of host, and by a real busy process."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tasks.host.disturbance import (
    DISTURBED,
    LOOK_SECONDS,
    Loss,
    Reading,
    crowding,
    look_seconds,
    loss,
    read_host,
    reason,
    remedy,
    tolerated,
)
from tasks.host.proc import TICK_SECONDS
from tasks.settings import REPOSITORY

START = Reading(clock=100.0, used=5.0, waited=1.0, busy=900.0, stolen=2.0, throttled=3.0, cores=2)

ON_ONE_CORE = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
BUSY = "while True: pass"
TIMED = """
import sys, time
from tasks.host.disturbance import loss, read_host
end = time.monotonic() + 2
before = read_host()
while time.monotonic() < end: pass
lost = loss(before, read_host(), 1)
print(lost.others)
"""


def later(seconds: float = 10.0, **more: float) -> Reading:
    """Return the reading `seconds` after START, its counters larger by so much."""
    return replace(
        START, clock=START.clock + seconds, **{name: getattr(START, name) + value for name, value in more.items()}
    )


def test_two_threads_alone_on_two_cores_lose_nothing() -> None:
    lost = loss(START, later(used=20.0, busy=20.0), 2)
    assert lost.total == pytest.approx(0) and reason(lost) is None


def test_what_others_took_is_what_the_threads_waited_for() -> None:
    lost = loss(START, later(used=11.0, busy=20.0, waited=9.0), 2)
    assert lost.others == pytest.approx(0.9)
    assert reason(lost) == "other processes took 0.9 of 2 cores"


def test_a_busy_process_on_a_core_that_was_idle_takes_nothing() -> None:
    assert loss(START, later(used=10.0, busy=20.0, waited=0.02), 1).total == pytest.approx(0.002)
    unknown = replace(START, waited=None)
    assert loss(unknown, replace(later(used=10.0, busy=20.0), waited=None), 1).total == 0


def test_threads_that_wait_for_each_other_are_not_disturbed_by_others() -> None:
    """Eight threads on two cores: the host is too small for them, and nobody else runs."""
    lost = loss(START, later(used=20.0, busy=20.0, waited=60.0), 8)
    assert lost.others == pytest.approx(0.003)


@pytest.mark.parametrize(("others", "lost"), [(0.0, 0.0), (5.0, 0.497), (20.0, 1.997)])
def test_without_waits_it_is_what_others_used_beyond_the_idle_cores(others: float, lost: float) -> None:
    """As on a kernel without /proc/PID/schedstat."""
    before, after = replace(START, waited=None), replace(later(used=20.0 - others, busy=20.0), waited=None)
    assert loss(before, after, 2).others == pytest.approx(lost)


def test_without_the_use_of_the_cores_it_is_the_waits() -> None:
    """As in a sandbox that shows its own processes only."""
    before, after = replace(START, busy=None), replace(later(used=11.0, waited=9.0), busy=None)
    assert loss(before, after, 2).others == pytest.approx(0.9)


def test_where_the_kernel_shows_nothing_nothing_is_known() -> None:
    before = Reading(clock=100.0, used=5.0, waited=None, busy=None)
    after = replace(before, clock=110.0, used=15.0)
    assert loss(before, after, 2).total == 0 and crowding(before, after, 2) == 0


def test_steal_and_throttling_are_lost_cores_too() -> None:
    assert reason(loss(START, later(used=16.0, busy=16.0, stolen=4.0), 2)) == "the hypervisor took 0.4 of 2 cores"
    lost = loss(START, later(used=12.0, busy=18.0, waited=8.0, throttled=5.0), 2)
    assert reason(lost) == "other processes took 0.3 and the quota of the control group took 0.5 of 2 cores"
    assert reason(Loss(0, 0, 0.5, 1)) == "the quota of the control group took 0.5 of 1 core"


def test_the_remedy_is_that_of_the_cause() -> None:
    assert "'cores' in [host]" in remedy(str(reason(Loss(0, 0, 0.5, 8))))
    assert remedy(str(reason(Loss(0.5, 0, 0, 8)))) == "run the release again on a quiet host"


def test_losses_add_up() -> None:
    """None of them is beyond the bound; together they are."""
    each = DISTURBED * 0.6
    assert reason(Loss(each, 0, 0, 2)) is None
    assert reason(Loss(each, each, 0, 2)) == "other processes took 0.1 and the hypervisor took 0.1 of 2 cores"


def test_a_count_of_ticks_is_not_believed_beyond_its_error() -> None:
    """In a tenth of a second the count of two cores may be three ticks off, which are 0.3 cores."""
    unknown = replace(START, waited=None)
    assert loss(unknown, replace(later(0.1, used=0.18, busy=0.2), waited=None), 2).others == 0
    assert loss(START, later(0.1, used=0.2, busy=0.2, waited=0.03), 2).others == pytest.approx(0.3)


def test_a_host_is_crowded_if_the_idle_cores_are_too_few() -> None:
    after = later(busy=11.0)
    assert crowding(START, after, 2) == pytest.approx(1.097)
    assert crowding(START, after, 1) == pytest.approx(0.097)
    assert crowding(START, later(busy=0.03), 2) == 0


def on_large_host(
    cores: int, seconds: float, own_wait: float = 0.0, others: float = 0.0, longest: float = 0.0, stolen: float = 0.0
) -> Loss:
    """Return the loss of a timing that runs on all cores but one, in which each thread waits for a share of the time.

    others: cores that other processes used. longest: the wait of one thread, on top of its own. stolen: of each core.
    """
    threads = cores - 1
    before = Reading(clock=0.0, used=0.0, waited=0.0, busy=0.0, cores=cores, waits=dict.fromkeys(range(threads), 0.0))
    each = dict.fromkeys(range(threads), own_wait * seconds)
    waits = {**each, 0: (own_wait + longest) * seconds}
    used = (threads - longest) * seconds
    after = replace(
        before,
        clock=seconds,
        used=used,
        waited=sum(waits.values()),
        busy=used + others * seconds,
        stolen=stolen * cores * seconds,
        waits=waits,
    )
    return loss(before, after, threads)


@pytest.mark.parametrize("cores", [2, 4, 16, 64, 128])
@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_moments_that_all_threads_wait_are_no_other_process(cores: int, seconds: float) -> None:
    """Two thousandths of the time of each thread: wake-ups, and the kernel's own threads. Nobody else runs."""
    assert reason(on_large_host(cores, seconds, own_wait=0.002)) is None


def test_what_a_thread_waits_beyond_what_others_use_is_no_other_process() -> None:
    """Others use 0.06 of 4 cores, which may be missed; the rest of the time, the thread waits for its own process."""
    assert reason(on_large_host(4, 5.0, others=0.06, longest=0.2)) is None


def test_moments_that_the_hypervisor_takes_of_each_core_disturb_nothing() -> None:
    assert reason(on_large_host(64, 2.0, stolen=0.002)) is None
    assert reason(on_large_host(64, 2.0, stolen=0.01)) == "the hypervisor took 0.6 of 64 cores"


@pytest.mark.parametrize("cores", [2, 4, 16, 64, 128])
def test_a_thread_that_others_keep_waiting_disturbs_a_timing_of_any_size(cores: int) -> None:
    """The other threads wait for it at every layer."""
    lost = on_large_host(cores, 5.0, others=1.2, longest=0.2)
    assert reason(lost) == f"other processes took 0.2 of {cores} cores"
    assert reason(on_large_host(cores, 5.0, others=1.02, longest=0.02)) is None


def test_a_thread_that_waits_although_nobody_else_runs_was_not_disturbed_by_others() -> None:
    assert reason(on_large_host(64, 2.0, longest=0.2)) is None


@pytest.mark.parametrize(("threads", "cores"), [(1, 0.1), (3, 0.1), (20, 0.1), (63, 0.315), (127, 0.635)])
def test_the_more_threads_the_more_may_be_missed_in_all(threads: int, cores: float) -> None:
    assert tolerated(threads) == pytest.approx(cores)


@pytest.mark.parametrize(("cores", "seconds"), [(1, LOOK_SECONDS), (2, LOOK_SECONDS), (4, LOOK_SECONDS), (64, 1.8)])
def test_a_look_at_more_cores_takes_longer(cores: int, seconds: float) -> None:
    assert look_seconds(cores) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize("cores", [2, 4, 64, 128])
def test_a_look_finds_what_others_use_beyond_the_core_that_is_left_free(cores: int) -> None:
    """DISTURBED more, by the error of the counts, and what a timing of so many threads may miss."""
    seconds, threads = look_seconds(cores), cores - 1
    before = Reading(clock=0.0, used=0.0, waited=0.0, busy=0.0, cores=cores)

    def is_crowded(others: float) -> bool:
        after = replace(before, clock=seconds, busy=others * seconds)
        return crowding(before, after, threads) > tolerated(threads)

    assert not is_crowded(1.0)
    assert is_crowded(1.01 + DISTURBED + tolerated(threads))


@pytest.mark.parametrize("cores", [2, 4, 64, 128])
def test_counts_of_whole_ticks_are_not_wrong_by_more_than_is_believed(cores: int) -> None:
    """Simulated: all cores are busy with the own threads, and each count begins somewhere in a tick."""
    random = np.random.default_rng(7)
    begun = random.uniform(0, 1, (20_000, cores + 1))
    ended = random.uniform(100, 101, begun.shape)
    ticks = np.floor(begun + ended) - np.floor(begun)
    wrong = np.abs((ticks - ended).sum(axis=1)).max() * TICK_SECONDS
    assert wrong <= look_seconds(cores) * DISTURBED


def test_a_busy_process_takes_half_of_a_core_that_it_shares() -> None:
    """On one real core: half is expected beside one busy process, more if others are busy, too."""
    # Each in its own session, because the kernel may share a core by sessions.
    with subprocess.Popen([sys.executable, "-c", ON_ONE_CORE + BUSY], start_new_session=True) as busy:
        try:
            told = subprocess.run(
                [sys.executable, "-c", ON_ONE_CORE + TIMED],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=True,
                start_new_session=True,
            ).stdout
        finally:
            busy.kill()
    assert float(told) > 2 * DISTURBED


def test_this_host_is_read() -> None:
    first = read_host()
    sum(range(3_000_000))
    second = read_host()
    assert second.clock > first.clock and second.used >= first.used
    assert first.cores == len(os.sched_getaffinity(0))
