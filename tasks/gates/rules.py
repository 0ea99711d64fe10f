"""Applies one rule to one measured number.

The answer is pass, fail, undecided or not applicable, with one line that says why.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from tasks.evaluation.measurement import Comparison, Interval, Measurement
from tasks.evaluation.metrics import METRICS, PARITY_METRICS, TIMED_METRICS
from tasks.evaluation.parameters import ERROR
from tasks.gates.verdict import Answer, Rule
from tasks.gates.wording import say, say_bound, say_value
from tasks.host.disturbance import remedy

UNCERTAIN = 2.0
"""Standard errors between a number and its bound below which the answer says that it might be chance (95 %)."""

INTERRUPTION = "other work on the host interrupted the benchmark"


def apply(
    rule: Rule,
    metrics: Mapping[str, Measurement],
    not_applicable: Collection[str] = (),
    causes: Mapping[str, str] = MappingProxyType({}),
    comparison: Comparison | None = None,
    disturbed: str | None = None,
    interrupted: Collection[str] = (),
) -> Answer:
    """Return the answer of one gate.

    A number that was not measured fails. Only a parity can be not applicable, where the evaluation says that the source
    has no such thing: `not_applicable` holds those names.

    causes: the known cause of a loss or of a missing number, by metric. The line of what fails ends with it.
    comparison: how much text the numbers rest on. A number with an interval is undecided where the bound is in it.
    disturbed: what disturbed the timings, or None. A disturbance makes an engine slower, never faster. A disturbed
        number that meets a bound on slowness passes, because the undisturbed one meets it, too. One that misses it is
        undecided: the disturbance may be why.
    interrupted: the metrics whose timing other work on the host interrupted. They are judged as disturbed ones are; one
        without a number is undecided.
    """
    label = METRICS[rule.metric].label
    measured = metrics.get(rule.metric)
    if measured is None:
        if rule.metric in not_applicable and rule.metric in PARITY_METRICS:
            why = f"{label}: there is none to compare"
            return Answer(rule=rule, outcome="not applicable", seen=None, why=why)
        if rule.metric in interrupted:
            why = f"{label} was not timed: {INTERRUPTION}; {remedy(INTERRUPTION)}"
            return Answer(rule=rule, outcome="undecided", seen=None, why=why)
        known = f": {causes[rule.metric]}; remove this gate of the target" if rule.metric in causes else ""
        return Answer(rule=rule, outcome="fail", seen=None, why=f"{label} was not measured{known}")
    interval = comparison.intervals.get(rule.metric) if comparison else None
    if comparison and interval and rule.decided_by(interval) == "undecided":
        return _undecided(rule, measured, comparison)
    passed = rule.decided_by(interval) == "pass" if interval else rule.holds(measured.value)
    said = say(rule.metric, measured.value, measured.standard_error, beside=rule.limit)
    why = f"{label} {said} {_sign(rule, passed)} {say_bound(rule.metric, rule.limit)}"
    if not interval and measured.standard_error and _is_near(rule, measured.value, measured.standard_error):
        why += f" (within {UNCERTAIN:.0f} standard errors of the bound)"
    if not passed and rule.metric in causes:
        why += f": {causes[rule.metric]}"
    if rule.metric in interrupted:
        disturbed = disturbed or INTERRUPTION
    undecided = disturbed is not None and rule.metric in TIMED_METRICS and passed != _bounds_slowness(rule)
    if undecided:
        assert disturbed is not None
        why += f"; not decided: the timing was disturbed ({disturbed}); {remedy(disturbed)}"
    return Answer(
        rule=rule,
        outcome="undecided" if undecided else "pass" if passed else "fail",
        seen=measured.value,
        standard_error=measured.standard_error,
        why=why,
    )


def _undecided(rule: Rule, measured: Measurement, comparison: Comparison) -> Answer:
    """Return the answer of a number whose interval lies on both sides of its bound."""
    said = say(rule.metric, measured.value, measured.standard_error, beside=rule.limit)
    bound, tokens = say_bound(rule.metric, rule.limit), f"{measured.observations:,} tokens"
    if comparison.windows < comparison.available:
        why = f"not compared with {bound} any further after {tokens}, because another gate fails"
    else:
        reach = _say_interval(rule.metric, comparison.intervals[rule.metric], measured.standard_error)
        why = (
            f"too close to {bound} to call after {tokens} ({reach}); raise 'evaluation.windows' or add evaluation text"
        )
    return Answer(
        rule=rule,
        outcome="undecided",
        seen=measured.value,
        standard_error=measured.standard_error,
        why=f"{METRICS[rule.metric].label} {said}, {why}",
    )


def _say_interval(metric: str, interval: Interval, standard_error: float | None) -> str:
    """Return the interval with as many digits as the number has, as `0.044 to 0.055, with 95 % certainty`."""
    low = say_value(metric, interval.low, standard_error)
    high = "" if interval.high is None else f" to {say_value(metric, interval.high, standard_error)}"
    return f"{low}{high or ' or more'}{METRICS[metric].unit}, with {1 - ERROR:.0%} certainty"


def _is_near(rule: Rule, value: float, standard_error: float) -> bool:
    return abs(value - rule.limit) < UNCERTAIN * standard_error


def _sign(rule: Rule, passed: bool) -> str:
    if rule.maximum is not None:
        return "≤" if passed else ">"
    return "≥" if passed else "<"


def _bounds_slowness(rule: Rule) -> bool:
    """Return whether a slower engine could miss the bound that a faster one meets, as with a minimum of tokens/s."""
    return (rule.minimum is not None) == (METRICS[rule.metric].better == "higher")
