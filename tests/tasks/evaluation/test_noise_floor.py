"""Which bound ends a comparison: the default one, or what the source's own noise allows."""

import pytest

from tasks.evaluation.bound import Arithmetic, Bound
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.noise_floor import IDENTICAL, floor_of, in_effect

NOISE = {
    "noise_kld_mean": Measurement(value=0.002),
    "noise_top1_agreement": Measurement(value=0.96),
    "repeat_kld_mean": Measurement(value=4e-6),
}


@pytest.mark.parametrize(
    ("bound", "noise", "limit"),
    [
        (Bound(metric="kld_mean", maximum=0.001), "half", 0.003),
        (Bound(metric="kld_mean", maximum=0.01), "half", 0.01),
        (Bound(metric="kld_mean", maximum=1e-6), "single", 6e-6),
        (Bound(metric="kld_p99", maximum=1e-6), "single", 1e-6),
        (Bound(metric="kld_mean", maximum=1e-6), None, 1e-6),
        (Bound(metric="top1_agreement", minimum=0.97), "half", 0.94),
        (Bound(metric="top1_agreement", minimum=0.9), "half", 0.9),
        (Bound(metric="size_bytes", maximum=1.0), "half", 1.0),
    ],
)
def test_the_looser_of_both_is_in_effect(bound: Bound, noise: Arithmetic | None, limit: float) -> None:
    found = in_effect(bound, noise, NOISE)
    assert found.limit == limit
    assert (found.maximum is None) == (bound.maximum is None)


@pytest.mark.parametrize(
    ("bound", "limit"),
    [(Bound(metric="kld_mean", maximum=0.0001), 0.001), (Bound(metric="top1_agreement", minimum=0.999), 0.99)],
)
def test_a_source_with_much_noise_does_not_let_everything_pass(bound: Bound, limit: float) -> None:
    floor = floor_of(bound, "half", NOISE)
    assert floor is not None and floor.capped
    assert floor.bound.limit == limit


def test_nothing_changes_without_noise() -> None:
    bound = Bound(metric="kld_mean", maximum=0.001)
    assert in_effect(bound, "half", {}) == bound


def test_a_file_with_the_sources_weights_may_be_farther_away() -> None:
    metrics = {**NOISE, IDENTICAL: Measurement(value=1.0)}
    floor = floor_of(Bound(metric="kld_mean", maximum=0.001), "half", metrics)
    assert floor is not None and floor.identical
    assert floor.bound.limit == 0.008
