"""Says whether a text is long enough to decide the gates: whether an artifact that equals its source would pass them.

The intervals of such an artifact have closed forms. tasks/evaluation/confidence.py computes those of a real one.

Imports nothing heavy, because Airflow reads it when it parses a DAG.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound
from tasks.evaluation.critical_value import critical_value
from tasks.evaluation.measurement import Interval
from tasks.evaluation.metrics import METRICS, WINDOW_METRICS
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS, MOST_WINDOWS


def check_enough(windows: int, tokens: int, bounds: Sequence[Bound], target: str = "") -> None:
    """Raise InvalidRecipe where a text is too short to decide anything, or one of the bounds.

    tokens: predicted tokens of a window.
    target: whose bounds they are, for the message, where the reader does not know it.
    """
    if windows < LEAST_WINDOWS:
        raise InvalidRecipe(
            f"The evaluation text fills {windows} windows, and 'evaluation.stop: early' decides by at least "
            f"{LEAST_WINDOWS}; give it more text, lower 'evaluation.window_tokens', or set 'stop: never'."
        )
    if bound := undecidable(windows, tokens, bounds):
        whose = f" of {target}" if target else ""
        raise InvalidRecipe(
            f"The evaluation text fills {windows} windows of {tokens + 1} tokens, too few to decide the gate on "
            f"{METRICS[bound.metric].label}{whose} even for a perfect artifact; raise 'evaluation.windows', add text, "
            "loosen the gate, or set 'stop: never'."
        )


def check_any_enough(windows: int, tokens: int, bounds: Mapping[str, Sequence[Bound]]) -> list[str]:
    """Return a sentence for each target whose bounds a text is too short to decide: its evaluation is going to fail.

    tokens: predicted tokens of a window. bounds: those of each target.

    Raises InvalidRecipe if the text is too short for all targets, because nothing can then be released.
    """
    said = []
    for target, asked in bounds.items():
        try:
            check_enough(windows, tokens, asked, target)
        except InvalidRecipe as error:
            said.append(str(error))
    if said and len(said) == len(bounds):
        raise InvalidRecipe(said[0])
    return said


def undecidable(windows: int, tokens: int, bounds: Sequence[Bound]) -> Bound | None:
    """Return the first bound that so many windows cannot decide, even for a perfect artifact; None if there is none."""
    asked = [bound for bound in bounds if bound.metric in WINDOW_METRICS]
    found = perfect_intervals(windows, tokens, ERROR / max(1, len(asked)))
    for bound in asked:
        if bound.metric in found and bound.decided_by(found[bound.metric]) == "undecided":
            return bound
    return None


def fewest_windows(tokens: int, bounds: Sequence[Bound]) -> int | None:
    """Return how many windows decide all bounds for a perfect artifact; None if no number of windows does."""
    counts = range(LEAST_WINDOWS, MOST_WINDOWS + 1)
    # More windows make every interval narrower.
    place = bisect_left(counts, True, key=lambda windows: undecidable(windows, tokens, bounds) is None)
    return counts[place] if place < len(counts) else None


def perfect_intervals(windows: int, tokens: int, alpha: float) -> Mapping[str, Interval]:
    """Return the intervals of an artifact that equals its source; see `intervals` in tasks/evaluation/confidence.py."""
    zero, one = Interval(low=0.0, high=0.0), Interval(low=1.0, high=1.0)
    square = critical_value(windows, alpha) ** 2 / (windows * tokens)
    return {
        "perplexity": one,
        "reference_perplexity": one,
        "delta_ln_perplexity": zero,
        "kld_mean": zero,
        "kld_median": _zero_quantile(0.5, square),
        "kld_p99": _zero_quantile(0.99, square),
        "top1_agreement": Interval(low=1 / (1 + square), high=1.0),
    }


def _zero_quantile(quantile: float, square: float) -> Interval:
    """Return the interval of a quantile of zeros: without an end if the share of the tokens above it may be too large.

    square: of the critical value, by the number of tokens.
    """
    tail = 1 - quantile
    return Interval(low=0.0, high=0.0 if square * tail * (1 - tail) <= tail**2 else None)
