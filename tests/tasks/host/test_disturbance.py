"""What a timing lost to others, by planted counters of every kind of host, and by a real busy process."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tasks.host.disturbance import DISTURBED, Loss, Reading, crowding, loss, read_host, reason, remedy
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
