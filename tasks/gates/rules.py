"""Applies one rule to one measured number. The answer is an outcome with one line that says why."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import METRICS, PARITY_METRICS, TIMED_METRICS
from tasks.gates.verdict import Answer, Rule
from tasks.gates.wording import say, say_bound

UNCERTAIN = 2.0
"""Standard errors between a number and its bound below which the answer says that it might be chance (95 %)."""


def apply(
    rule: Rule,
    metrics: Mapping[str, Measurement],
    not_applicable: Collection[str] = (),
    causes: Mapping[str, str] = MappingProxyType({}),
    disturbed: str | None = None,
) -> Answer:
    """Return the answer of one gate.

    A number that was not measured fails. Only a parity can be not applicable, where the evaluation says that the source
    has no such thing: `not_applicable` holds those names.

    causes: the known cause of a loss, by metric. The line of a number that fails ends with it.
    disturbed: what disturbed the timings, or None. A disturbance makes an engine slower, never faster. A disturbed
        number that meets a bound on slowness passes, because the undisturbed one meets it, too. One that misses it is
        undecided: the disturbance may be why.
    """
    label = METRICS[rule.metric].label
    measured = metrics.get(rule.metric)
    if measured is None:
        if rule.metric in not_applicable and rule.metric in PARITY_METRICS:
            why = f"{label}: the source has none to compare with"
            return Answer(rule=rule, outcome="not applicable", seen=None, why=why)
        return Answer(rule=rule, outcome="fail", seen=None, why=f"{label} was not measured")
    passed, sign = _compare(rule, measured.value)
    bound = rule.maximum if rule.maximum is not None else rule.minimum
    assert bound is not None
    said = say(rule.metric, measured.value, measured.standard_error, beside=bound)
    why = f"{label} {said} {sign} {say_bound(rule.metric, bound)}"
    if measured.standard_error and abs(measured.value - bound) < UNCERTAIN * measured.standard_error:
        why += f" (within {UNCERTAIN:.0f} standard errors of the bound)"
    if not passed and rule.metric in causes:
        why += f": {causes[rule.metric]}"
    undecided = disturbed is not None and rule.metric in TIMED_METRICS and passed != _bounds_slowness(rule)
    if undecided:
        why += f"; not decided: the timing was disturbed ({disturbed}); run the release again on a quiet host"
    return Answer(
        rule=rule,
        outcome="undecided" if undecided else "pass" if passed else "fail",
        seen=measured.value,
        standard_error=measured.standard_error,
        why=why,
    )


def _compare(rule: Rule, value: float) -> tuple[bool, str]:
    if rule.maximum is not None:
        return (True, "≤") if value <= rule.maximum else (False, ">")
    assert rule.minimum is not None
    return (True, "≥") if value >= rule.minimum else (False, "<")


def _bounds_slowness(rule: Rule) -> bool:
    """Return whether a slower engine could miss the bound that a faster one meets, as with a minimum of tokens/s."""
    return (rule.minimum is not None) == (METRICS[rule.metric].better == "higher")
