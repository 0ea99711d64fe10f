"""Rounds are drawn so that one can be repeated alone, and so that enough of them leave nothing out."""

from tests.chaos.faults import MOMENTS, NAMED, RANDOM, RELEASE_SECONDS, fault_of


def test_a_round_is_the_same_whenever_it_is_played() -> None:
    drawn = [fault_of(number, 7) for number in range(1, 60)]
    assert [fault_of(number, 7) for number in reversed(range(1, 60))] == drawn[::-1]
    assert drawn[: len(NAMED)] == list(NAMED)
    assert [fault_of(number, 8) for number in range(1, 60)][len(NAMED) :] != drawn[len(NAMED) :]


def test_many_rounds_reach_every_victim_and_every_moment() -> None:
    drawn = [fault_of(number, 1) for number in range(1, 400)]
    assert {fault.victim for fault in drawn} == {"job", "tool", "task", "worker", "scheduler", "s3", "mlflow"}
    assert {fault.moment for fault in drawn} >= set(MOMENTS)
    times = [fault.after for fault in drawn if fault.moment == RANDOM]
    assert 0 <= min(times) < RELEASE_SECONDS / 4 < 3 * RELEASE_SECONDS / 4 < max(times) <= RELEASE_SECONDS
