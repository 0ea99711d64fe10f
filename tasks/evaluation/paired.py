"""Compares the divergence of two artifacts on the same windows, as far as is needed to tell which is larger.

A hard window is hard for both artifacts, so the difference of their divergences spreads much less than either of them.
The interval of its mean is a confidence sequence (tasks/evaluation/confidence.py), so the comparison may end as soon as
the interval does not hold 0.
"""

import numpy as np

from tasks.engines.runner import Runner
from tasks.evaluation.confidence import mean_interval
from tasks.evaluation.control import PairedDivergence
from tasks.evaluation.fidelity import Progress, compare_windows
from tasks.evaluation.measurement import Comparison, Interval, WindowDivergences
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.evaluation.reference_reader import Reference
from tasks.evaluation.uncertainty import mean_over_windows
from tasks.evaluation.window_scores import Scores, WindowScores


def compare_with(
    target: WindowDivergences, control: Runner, reference: Reference, progress: Progress
) -> PairedDivergence:
    """Run the control over the windows on which the target was evaluated, until it is clear which is worse.

    Raises what `compare_windows` raises.
    """
    compared = compare_windows(control, reference, progress, PairedEnding(target))
    windows = len(compared.windows)
    theirs = compared.scores.kld
    ours = np.array(target.kld[:windows])[:, None]
    tokens = theirs.size
    return PairedDivergence(
        windows=windows,
        target=mean_over_windows(ours).model_copy(update={"observations": tokens}),
        control=mean_over_windows(theirs),
        above=mean_over_windows(differences(target, theirs)).model_copy(update={"observations": tokens}),
        interval=interval_of(differences(target, theirs)),
    )


class PairedEnding:
    """Ends when the interval of the mean difference does not hold 0. Otherwise all windows of the target are read."""

    def __init__(self, target: WindowDivergences) -> None:
        self.order = target.windows
        self._target = target

    def look(self, scores: WindowScores) -> tuple[Comparison, str] | None:
        """See tasks.evaluation.fidelity.Ending."""
        windows = len(scores.kld)
        found = interval_of(differences(self._target, scores.kld))
        if found is None or found.high is None:
            return None
        clear = not found.low <= 0 <= found.high
        comparison = Comparison(windows=windows, available=len(self.order), ended="clear" if clear else "end")
        return comparison, f"KLD {found.low:+.2g} to {found.high:+.2g} above the control's"


def differences(target: WindowDivergences, control: Scores) -> Scores:
    """Return the target's mean divergence minus the control's, for each window of the control: [windows, 1].

    control: divergences of the first of the target's windows, [windows, tokens].
    """
    windows = len(control)
    found: Scores = np.array(target.kld[:windows])[:, None] - control.mean(axis=1, keepdims=True)
    return found


def interval_of(difference: Scores) -> Interval | None:
    """Return the interval of the mean of differences [windows, 1], or None if there are too few to decide anything."""
    return mean_interval(difference, ERROR) if len(difference) >= LEAST_WINDOWS else None
