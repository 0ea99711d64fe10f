"""A stopwatch says what disturbed a lap, and waits for a quiet host no longer than it may."""

from functools import partial

import pytest

from tasks.host.disturbance import LOOK_SECONDS, look_seconds
from tasks.host.facts import WAIT_SECONDS
from tests.fixtures.hosts import FakeHost


def test_a_lap_on_a_quiet_host() -> None:
    host = FakeHost()
    watch = host.stopwatch()
    result, lap = watch.time(lambda: host.work(3.0) or "done")  # type: ignore[func-returns-value]
    assert (result, lap.seconds, lap.disturbed) == ("done", 3.0, None)
    assert host.clock == LOOK_SECONDS + 3.0 and host.waits == 0
    watch.time(partial(host.work, 3.0))
    assert host.clock == LOOK_SECONDS + 6.0, "after a quiet lap it does not look again"
    assert watch.cost == 0


def test_it_waits_until_the_host_is_quiet_and_reports_it_once() -> None:
    host = FakeHost(lambda clock: 1.0 if clock < 4 or 6 < clock < 8 else 0.0)
    watch = host.stopwatch()
    _, lap = watch.time(partial(host.work, 3.0))
    assert lap.disturbed is None and 4 <= host.clock - 3.0 <= 5
    # Now it is crowded, which the next lap meets without a look; the one after that waits again.
    assert watch.time(partial(host.work, 0.5))[1].disturbed == "other processes took 1.0 of 2 cores"
    assert watch.time(partial(host.work, 0.5))[1].disturbed is None
    assert host.waits == 1 and watch.may_wait


def test_on_many_cores_it_looks_for_longer_and_takes_as_much_for_quiet_as_a_lap_may_miss() -> None:
    host = FakeHost(lambda clock: 0.3, cores=64)
    _, lap = host.stopwatch().time(partial(host.work, 3.0))
    assert lap.disturbed is None and host.waits == 0
    assert host.clock == look_seconds(64) + 3.0 > LOOK_SECONDS + 4.0


def test_its_wait_ends() -> None:
    host = FakeHost(lambda clock: 1.0)
    watch = host.stopwatch()
    _, lap = watch.time(partial(host.work, 3.0))
    assert lap.disturbed and host.clock == pytest.approx(WAIT_SECONDS + 3.0)
    assert not watch.may_wait and watch.cost == pytest.approx(WAIT_SECONDS + 3.0)
    watch.time(partial(host.work, 3.0))
    assert host.clock == pytest.approx(WAIT_SECONDS + 6.0), "it waits no more"


def test_disturbed_laps_use_up_the_wait_too() -> None:
    """Between two laps the host is quiet, and each lap is disturbed."""
    host = FakeHost()
    watch = host.stopwatch()

    def crowded() -> None:
        host.others = lambda clock: 0.5
        host.work(WAIT_SECONDS / 3 + 0.1)
        host.others = lambda clock: 0.0

    for lap in range(3):
        assert watch.may_wait, lap
        assert watch.time(crowded)[1].disturbed
    assert not watch.may_wait
