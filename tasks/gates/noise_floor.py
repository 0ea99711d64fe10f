"""Applies the source's noise floor to the gates, and says so; see tasks/evaluation/noise_floor.py."""

from collections.abc import Mapping

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.noise_floor import MOST, floor_of
from tasks.gates.defaults import DefaultRule
from tasks.gates.verdict import Rule
from tasks.gates.wording import say


def in_effect(rule: Rule, metrics: Mapping[str, Measurement], noise_type: str | None = None) -> tuple[Rule, str]:
    """Return the rule with the bound that is in effect, and a clause that says why it is another; empty if it is not.

    metrics: of the artifact, with those of the source's noise; see tasks/evaluation/noise.py. Without them, and for
        rules of a recipe, nothing changes.
    noise_type: the type in which the source is stored, for the clause.
    """
    if not isinstance(rule, DefaultRule):
        return rule, ""
    plain = Rule(**rule.model_dump(exclude={"noise"}))
    floor = floor_of(rule, rule.noise, metrics)
    if floor is None:
        return plain, ""
    arithmetic = "float32, run twice" if rule.noise == "single" else noise_type or "its own type"
    measured = say(rule.metric, floor.noise.value)
    clause = f"{floor.factor:g} times the source's own noise in {arithmetic}, {measured}"
    if floor.capped:
        most = f"{MOST:g} times the default bound, the most that noise raises it to"
        clause = f"{most}; the source's own in {arithmetic} is {measured}"
    if floor.identical:
        clause += "; the weights are the source's, bit by bit"
    raised = floor.bound.model_dump() | {"reason": f"{clause}; {rule.reason}"}
    return plain.model_copy(update=raised), clause
