import pytest

from bench.schedule.work import Work, parallel_share


@pytest.mark.parametrize(
    ("one", "two", "share"),
    [([10.0], [5.0], 1.0), ([10.0], [10.0], 0.0), ([10.0, 30.0], [20.0, 8.0], 0.4), ([10.0], [11.0], 0.0)],
)
def test_the_share_that_threads_speed_up(one: list[float], two: list[float], share: float) -> None:
    assert parallel_share(one, two) == pytest.approx(share)


def test_the_time_of_a_timing_does_not_fall_with_threads() -> None:
    assert Work(threads=None, seconds=3, parallel=0.5).seconds_with(64) == 3
    assert Work(threads=8, seconds=3, parallel=0.5).seconds_with(2) == 3 * 0.75
