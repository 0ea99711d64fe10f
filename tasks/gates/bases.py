"""Decides whether a base blocks what is made from it.

A quantized artifact has wide bounds, because rounding costs something. A wrong conversion of its base can hide within
them: a base that is off by 0.005 nats fails its own bound of 0.001, and its 4-bit artifact passes a bound of 0.05. So
the faults of a base count for everything that is made from it.

The size and the speed of a base do not count. A quantized artifact is made in order to be smaller and faster.
"""

from collections.abc import Mapping

from tasks.evaluation.metrics import SIZE_METRICS, SPEED_METRICS
from tasks.gates.verdict import Verdict
from tasks.model import Model

OWN_METRICS = {**SIZE_METRICS, **SPEED_METRICS}
"""Metrics that say something only about the files that were measured."""


class JudgedBase(Model):
    """One proof of a base that is itself a target of the release.

    target: the base's name.
    verdict: the name of the gate's input that is the verdict of this proof.
    failure: why there is no verdict; None if there is one.
    """

    target: str
    verdict: str
    failure: str | None = None


def blocking_bases(bases: tuple[JudgedBase, ...], verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    """Return the bases that block, with a clause that says why, such as `was blocked: KLD mean 0.0051 > 0.001`.

    verdicts: those that exist, by the name of the input. A base without a verdict was not proven, so it blocks.
    """
    found: dict[str, list[str]] = {}
    for base in bases:
        if clause := _clause(base, verdicts.get(base.verdict)):
            clauses = found.setdefault(base.target, [])
            if clause not in clauses:
                clauses.append(clause)
    return {name: " and ".join(clauses) for name, clauses in found.items()}


def _clause(base: JudgedBase, verdict: Verdict | None) -> str | None:
    if verdict is None:
        return f"has no verdict: {base.failure or 'a task before its gate did not finish'}"
    if verdict.passed:
        return None
    blocking = verdict.blocking
    counted = tuple(answer for answer in blocking if answer.rule.metric not in OWN_METRICS)
    if blocking and not counted and not verdict.bases:
        return None
    return f"was blocked: {verdict.model_copy(update={'answers': counted}).reason}"
