"""Decides when enough of the evaluation text was compared.

A clear case ends early: every bound on the windows is certainly kept, or one is certainly broken, or another metric is
beyond its bound, so that the artifact is blocked whatever the windows say. A close case goes on to the last window.
"""

from collections.abc import Mapping, Sequence

from tasks.evaluation.bound import Bound
from tasks.evaluation.confidence import intervals
from tasks.evaluation.measurement import Comparison, Ended, Interval, Measurement
from tasks.evaluation.metrics import METRICS, SIZE_METRICS, WINDOW_METRICS
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.evaluation.window_scores import WindowScores

GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio. Its multiples, without their whole parts, lie evenly between 0 and 1 (Weyl's sequence)."""


def spread_order(windows: int) -> list[int]:
    """Return the windows in the order in which they are compared: the same on every host and for every artifact.

    A text may begin with prose and end with code, and neighbours may be parts of one document. The first windows of
    this order lie evenly in the whole text, however many they are.
    """
    return sorted(range(windows), key=lambda window: window * GOLDEN % 1)


STATES: Mapping[Ended, str] = {"clear": "clear", "blocked": "blocked", "end": "open"}


class Stopping:
    """The rule by which the comparison of windows ends.

    bounds: those on the target's numbers; the caller leaves out the ones that this task cannot measure.
    measured: what is already known of the artifact.
    windows: those of the reference.
    """

    def __init__(self, bounds: Sequence[Bound], measured: Mapping[str, Measurement], windows: int) -> None:
        self.order = spread_order(windows)
        self._bounds = [bound for bound in bounds if bound.metric in WINDOW_METRICS]
        self._alpha = ERROR / max(1, len(self._bounds))
        self._blocked = any(
            bound.metric in measured and not bound.holds(measured[bound.metric].value)
            for bound in bounds
            if bound.metric not in WINDOW_METRICS and bound.metric not in SIZE_METRICS
        )

    def look(self, scores: WindowScores) -> tuple[Comparison, str] | None:
        """Return what the comparison has found after these windows, and its state in words; None where it is too early.

        It ends with "clear" and with "blocked". With "end" it goes on while there are further windows.
        """
        windows, available = len(scores.kld), len(self.order)
        if windows < LEAST_WINDOWS:
            return None
        found = intervals(scores, self._alpha)
        answers = [(bound, _answer(bound, found, scores)) for bound in self._bounds]
        failed = [bound for bound, answer in answers if answer == "fail"]
        unclear = [bound for bound, answer in answers if answer == "undecided"]
        ended: Ended = "end"
        if failed or self._blocked:
            ended = "blocked"
        elif self._bounds and not unclear:
            ended = "clear"
        said = f"{STATES[ended]} after {windows} of {available} windows"
        if shown := [*failed, *unclear, *self._bounds]:
            said = f"{_say(shown[0], found)}: {said}"
        return Comparison(windows=windows, available=available, ended=ended, intervals=found), said


def stopping_notes(comparison: Comparison) -> tuple[str, ...]:
    """Return the sentence for the report that says why not all windows were compared; none where all were."""
    if comparison.windows == comparison.available:
        return ()
    why = {"clear": "they decide every gate", "blocked": "a gate fails already"}[comparison.ended]
    return (f"{comparison.windows} of {comparison.available} windows of the evaluation text were compared: {why}.",)


def _answer(bound: Bound, found: Mapping[str, Interval], scores: WindowScores) -> str:
    if bound.metric in found:
        return bound.decided_by(found[bound.metric])
    # The largest divergence only grows. So a maximum that is exceeded stays so, and nothing else is final.
    exceeded = bound.metric == "kld_max" and bound.maximum is not None and not bound.holds(float(scores.kld.max()))
    return "fail" if exceeded else "undecided"


def _say(bound: Bound, found: Mapping[str, Interval]) -> str:
    metric = METRICS[bound.metric]
    limit = f"bound {bound.limit * metric.factor:.6g}{metric.unit}"
    if bound.metric not in found:
        return f"{metric.label}, {limit}"
    low, high = found[bound.metric].low, found[bound.metric].high
    reach = (
        f"{low * metric.factor:.3g} or more"
        if high is None
        else f"{low * metric.factor:.3g} to {high * metric.factor:.3g}"
    )
    return f"{metric.label} {reach}{metric.unit}, {limit}"
