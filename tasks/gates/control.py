"""The rules on a calibrated artifact and its control, which bind every target that has a control.

The control is the same type made without calibration. Calibration must not make a file worse. If it changed nothing, it
was ignored, and the file is not what its recipe asks for.
"""

from tasks.evaluation.control import ControlComparison, PairedDivergence
from tasks.evaluation.metrics import METRICS
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.gates.verdict import Answer, Rule
from tasks.gates.wording import say, say_value

UNCHANGED = Rule(
    metric="weights_as_control",
    maximum=0,
    reason="a calibration that changes no weight was ignored, so the file is not what the recipe asks for",
)
WORSE = Rule(
    metric="kld_above_control",
    maximum=0,
    reason="calibration that makes a file worse was done wrongly, or on the wrong text",
)
"""It is broken only if the whole interval of the difference lies above 0: a small difference may be chance."""

REMEDY = "calibrate with another text, or make it without calibration"


def control_answers(found: ControlComparison) -> tuple[Answer, ...]:
    """Return the answers of both rules."""
    return _on_weights(found), _on_divergence(found.divergence)


def no_control(reason: str) -> str:
    """Return the caveat of a calibrated target that has no control."""
    return f"its calibration was not compared with a control: {reason}"


def say_divergences(found: PairedDivergence) -> str:
    """Return both numbers: `KLD mean 0.041, without calibration 0.038, on the same 2,040 tokens`."""
    ours, theirs = (say("kld_mean", one.value, one.standard_error) for one in (found.target, found.control))
    return f"KLD mean {ours}, without calibration {theirs}, on the same {found.above.observations:,} tokens"


def _on_weights(found: ControlComparison) -> Answer:
    label, seen = METRICS[UNCHANGED.metric].label, float(found.unchanged)
    if not found.unchanged:
        return Answer(rule=UNCHANGED, outcome="pass", seen=seen, why=f"{label} changed the weights")
    why = f"{label} changed nothing: every weight is that of the same type without it, byte for byte; {REMEDY}"
    return Answer(rule=UNCHANGED, outcome="fail", seen=seen, why=why)


def _on_divergence(found: PairedDivergence | None) -> Answer:
    label = METRICS[WORSE.metric].label
    if found is None:
        return Answer(rule=WORSE, outcome="not applicable", seen=None, why=f"{label}: the weights are the control's")
    above, both = found.above, say_divergences(found)
    if found.interval is None:
        few = f"{found.windows} windows are too few to tell, it takes {LEAST_WINDOWS}"
        return Answer(rule=WORSE, outcome="not applicable", seen=above.value, why=f"{label}: {few} ({both})")
    said = say(WORSE.metric, above.value, above.standard_error, beside=0)
    if found.is_worse:
        why = f"{label} {said} > 0: calibration makes it worse ({both}); {REMEDY}"
    elif above.value > 0:
        low = say_value(WORSE.metric, found.interval.low, above.standard_error)
        why = f"{label} {said}, which may be chance ({low} or more, with {1 - ERROR:.0%} certainty; {both})"
    else:
        why = f"{label} {said} ≤ 0 ({both})"
    return Answer(
        rule=WORSE,
        outcome="fail" if found.is_worse else "pass",
        seen=above.value,
        standard_error=above.standard_error,
        why=why,
    )
