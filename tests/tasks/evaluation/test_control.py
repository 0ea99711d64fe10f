"""The record says which is worse, and only where the interval is certain."""

import pytest
from pydantic import ValidationError

from tasks.evaluation.control import ControlComparison, PairedDivergence
from tasks.evaluation.measurement import Interval, Measurement
from tasks.evaluation.metrics import CONTROL_METRICS


def paired(above: float, interval: tuple[float, float] | None) -> PairedDivergence:
    return PairedDivergence(
        windows=8,
        target=Measurement(value=0.04 + above),
        control=Measurement(value=0.04),
        above=Measurement(value=above),
        interval=Interval(low=interval[0], high=interval[1]) if interval else None,
    )


@pytest.mark.parametrize(
    ("interval", "worse"),
    [((0.001, 0.005), True), ((-0.001, 0.007), False), ((-0.005, -0.001), False), ((0.0, 0.0), False), (None, False)],
)
def test_only_an_interval_that_lies_above_0_says_worse(interval: tuple[float, float] | None, worse: bool) -> None:
    assert paired(0.003, interval).is_worse is worse


def test_the_metrics_are_those_of_the_table() -> None:
    measured = ControlComparison(target="toy-q4", unchanged=False, divergence=paired(0.003, (0.001, 0.005)))
    assert set(measured.metrics) == set(CONTROL_METRICS)
    assert measured.metrics["kld_above_control"].value == 0.003
    unchanged = ControlComparison(target="toy-q4", unchanged=True, divergence=None)
    assert {name: found.value for name, found in unchanged.metrics.items()} == {"weights_as_control": 1}


def test_nothing_is_left_out_of_the_record() -> None:
    with pytest.raises(ValidationError, match="divergence"):
        ControlComparison.model_validate({"target": "toy-q4", "unchanged": False})
