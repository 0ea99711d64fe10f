"""Raises the bound of a default gate to the source's own noise.

The reference measures how far the source is from itself (tasks/evaluation/source_noise.py). No artifact can be asked to
be closer than that. The bound that is in effect is the default one, or a multiple of the noise, if that is larger.

A gate that a recipe writes itself has the bound that is written there.
"""

from collections.abc import Mapping

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.noise import PREFIX, REPEATED
from tasks.gates.defaults import DefaultRule
from tasks.gates.verdict import Rule
from tasks.gates.wording import say

FACTOR = 1.5
"""Times the noise. The noise is measured on fewer tokens than an artifact, so its standard error is about a tenth; and
an engine adds the same numbers in another order."""

IDENTICAL = "weights_identical"
"""The metric that is 1 if each stored weight is the source's, bit by bit."""

IDENTICAL_FACTOR = 4.0
"""Times the noise, for a file whose weights are the source's. Its divergence can show only the engine's arithmetic, or
a fault of its configuration. A fault must not pass, so there is a limit."""


def in_effect(rule: Rule, metrics: Mapping[str, Measurement], noise_type: str | None = None) -> tuple[Rule, str]:
    """Return the rule with the bound that is in effect, and a clause that says why it is another; empty if it is not.

    metrics: of the artifact, with those of the source's noise; see tasks/evaluation/noise.py. Without them, and for
        rules of a recipe, nothing changes.
    noise_type: the type in which the source is stored, for the clause.
    """
    if not isinstance(rule, DefaultRule):
        return rule, ""
    plain = Rule(**rule.model_dump(exclude={"noise"}))
    noise = _noise(rule, metrics)
    if noise is None:
        return plain, ""
    identical = IDENTICAL in metrics and metrics[IDENTICAL].value == 1
    floor = _floor(rule, noise, IDENTICAL_FACTOR if identical else FACTOR)
    factor = f"{IDENTICAL_FACTOR if identical else FACTOR:g}"
    measured = say(rule.metric, noise.value)
    arithmetic = "float32, run twice" if rule.noise == "single" else noise_type or "its own type"
    clause = f"{factor} times the source's own noise in {arithmetic}, {measured}"
    if identical:
        clause += "; the weights are the source's, bit by bit"
    if rule.maximum is not None and floor > rule.maximum:
        return _raised(plain, {"maximum": floor}, clause), clause
    if rule.minimum is not None and floor < rule.minimum:
        return _raised(plain, {"minimum": floor}, clause), clause
    return plain, ""


def _raised(rule: Rule, bound: dict[str, float], clause: str) -> Rule:
    return rule.model_copy(update={**bound, "reason": f"{clause}; {rule.reason}"})


def _noise(rule: DefaultRule, metrics: Mapping[str, Measurement]) -> Measurement | None:
    # The divergence of the long window has no noise of its own; that of the other windows stands for it.
    metric = "kld_mean" if rule.metric == "kld_long" else rule.metric
    if rule.noise == "half":
        return metrics.get(f"{PREFIX}{metric}")
    return metrics.get(REPEATED) if rule.noise == "single" and metric == "kld_mean" else None


def _floor(rule: DefaultRule, noise: Measurement, factor: float) -> float:
    """Return the bound that the noise allows. An agreement is bounded by its distance from 1."""
    bound = factor * abs(noise.value) if rule.maximum is not None else 1 - factor * (1 - noise.value)
    return float(f"{bound:.3g}")
