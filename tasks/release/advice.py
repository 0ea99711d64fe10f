"""One line of advice per target, for the report. It compares the target's numbers with those of the other targets."""

import math
from collections.abc import Sequence

from tasks.evaluation.measurement import Measurement
from tasks.release.record import ReleasedTarget

CLOSENESS = (
    (0.002, "Practically the source itself"),
    (0.015, "Very close to the source"),
    (0.05, "Close to the source"),
    (0.12, "A visible loss, for hosts with little memory"),
)
"""Upper bounds of the mean KLD in nats, each with its words. They separate the groups of a published table: Llama 3 8B
in llama.cpp's tools/perplexity/README.md: Q8_0 0.0014; Q6_K and Q5_K_M up to 0.011; Q4_K up to 0.043; Q3_K_M 0.10."""

BEYOND = "A heavy loss"


def advice(target: ReleasedTarget, others: Sequence[ReleasedTarget]) -> str:
    """Return the line; empty for a target that did not pass or has no numbers."""
    if target.outcome != "passed":
        return ""
    size, kld = _place(target)
    if size is None or kld is None:
        return ""
    line = next((words for bound, words in CLOSENESS if kld.value < bound), BEYOND)
    better = dominating(target, others)
    if better:
        return f"{line}; but {better[0].target} is smaller and closer."
    return f"{line}; nothing that passed is both smaller and closer."


CERTAIN = 2.0
"""Standard errors between two divergences beyond which one is smaller (95 %)."""


def dominating(target: ReleasedTarget, others: Sequence[ReleasedTarget]) -> list[ReleasedTarget]:
    """Return the passed targets that are smaller and closer to the source, or equal in one of both; closest first."""
    size, kld = _place(target)
    if size is None or kld is None:
        return []
    found = []
    for other in others:
        other_size, other_kld = _place(other)
        if other.outcome != "passed" or other.target == target.target or other_size is None or other_kld is None:
            continue
        if beats(other_size, other_kld, size, kld):
            found.append((other_kld.value, other))
    return [other for _, other in sorted(found, key=lambda pair: pair[0])]


def beats(size: float, kld: Measurement, other_size: float, other_kld: Measurement) -> bool:
    """Return whether a target of this size and divergence is smaller and closer than another, or equal in one of both.

    Divergences that rest on different numbers of tokens were measured on different texts: a small difference between
    them says nothing.
    """
    if size > other_size:
        return False
    if kld.observations != other_kld.observations:
        error = math.hypot(kld.standard_error or 0.0, other_kld.standard_error or 0.0)
        return other_kld.value - kld.value > CERTAIN * error
    return kld.value <= other_kld.value and (size, kld.value) != (other_size, other_kld.value)


def _place(target: ReleasedTarget) -> tuple[float | None, Measurement | None]:
    size = target.metrics.get("size_bytes")
    return (size.value if size else None), target.metrics.get("kld_mean")
