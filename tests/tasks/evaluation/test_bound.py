import pytest
from pydantic import ValidationError

from tasks.evaluation.bound import Bound
from tasks.evaluation.measurement import Interval


@pytest.mark.parametrize(
    ("low", "high", "at_most", "at_least"),
    [
        (0.01, 0.04, "pass", "fail"),
        (0.01, 0.05, "pass", "undecided"),
        (0.04, 0.06, "undecided", "undecided"),
        (0.05, 0.06, "undecided", "pass"),
        (0.06, 0.07, "fail", "pass"),
        (0.04, None, "undecided", "undecided"),
        (0.06, None, "fail", "pass"),
    ],
)
def test_only_a_whole_interval_decides(low: float, high: float | None, at_most: str, at_least: str) -> None:
    interval = Interval(low=low, high=high)
    assert Bound(metric="kld_mean", maximum=0.05).decided_by(interval) == at_most
    assert Bound(metric="kld_mean", minimum=0.05).decided_by(interval) == at_least


@pytest.mark.parametrize("limits", [{}, {"maximum": 1.0, "minimum": 0.0}])
def test_a_bound_is_one_limit(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="the gate on 'kld_mean' needs exactly one of 'maximum' and 'minimum'"):
        Bound(metric="kld_mean", **limits)
