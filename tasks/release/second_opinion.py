"""Asks whether the reference itself is wrong, when artifacts in two engines agree with each other and not with it.

All artifacts are compared with one reference: the source as transformers runs it. If the reference was made wrongly,
the right artifacts are blocked. One engine alone cannot show that. Two engines can, because they do not make the same
mistake by chance. Nothing is registered then, because nothing was proven. A person has to find out which one is right.

This does not find a fault in transformers' code of an architecture: the graph of an ONNX file is exported from that
code, so it has the same fault.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from tasks.contract import TaskContext
from tasks.evaluation.measurement import Differences, Evaluation
from tasks.gates.verdict import Verdict
from tasks.release.judge import AskedTarget
from tasks.release.record import ReleasedTarget

BY_TOKEN = {
    "perplexity",
    "delta_ln_perplexity",
    "kld_mean",
    "kld_median",
    "kld_p99",
    "kld_max",
    "top1_agreement",
}
"""Metrics of the tokens whose differences are kept."""

BY_TEXT = {"tokenizer_parity", "tokenizer_parity_nfc"}
"""Metrics of the texts whose cuts are kept."""

CLOSER = 4.0
"""How many times closer two artifacts are to each other than to the reference, at least, if they agree.

Two artifacts with independent errors are farther from each other than each is from the reference, so the ratio is below
1. If both share one error and have nothing else, it has no limit; rounding of either lowers it.
"""


@dataclass(frozen=True)
class Witness:
    """A blocked artifact in one engine.

    engine: its name, without the version.
    blocked_by: the metrics whose gates failed.
    """

    target: str
    engine: str
    blocked_by: frozenset[str]
    differences: Differences

    @property
    def place(self) -> str:
        """Target and engine, in words."""
        return f"{self.target} in {self.engine}"


def suspicion(asked: Iterable[AskedTarget], context: TaskContext) -> str | None:
    """Return one sentence if the reference is suspect, or None.

    Inputs: `verdict:<name>` and `evaluation:<name>` of each proof, where they exist. Raises Corrupt where one of them
    cannot be read.
    """
    witnesses = [witness for target in asked for witness in _witnesses(target, context)]
    for one, other in combinations(witnesses, 2):
        if one.engine != other.engine and (clause := _agreement(one, other)):
            return (
                f"the reference is suspect: {one.place} and {other.place} agree with each other and not with {clause}"
            )
    return None


def unproven(target: ReleasedTarget, why: str) -> ReleasedTarget:
    """Return the target as unproven if its outcome rests on the reference: if it passed, or a gate blocked it."""
    if target.outcome not in ("passed", "blocked"):
        return target
    proofs = tuple(
        proof.model_copy(update={"outcome": "unproven", "reason": why})
        if proof.outcome in ("passed", "blocked")
        else proof
        for proof in target.proofs
    )
    return target.model_copy(update={"outcome": "unproven", "reason": why, "proofs": proofs})


def _witnesses(asked: AskedTarget, context: TaskContext) -> Iterable[Witness]:
    for proof in asked.proofs:
        verdict_input, evaluation_input = f"verdict:{proof.name}", f"evaluation:{proof.name}"
        if verdict_input not in context.inputs or evaluation_input not in context.inputs:
            continue
        verdict = Verdict.read_file(context.materialize(verdict_input) / "verdict.json", f"The verdict on {proof.name}")
        blocked_by = frozenset(answer.rule.metric for answer in verdict.answers if answer.outcome == "fail")
        if not blocked_by:
            continue
        evaluation = Evaluation.read_file(
            context.materialize(evaluation_input) / "evaluation.json", f"The evaluation of {proof.name}"
        )
        if evaluation.differences:
            engine = evaluation.engine.partition(" ")[0]
            yield Witness(asked.target.name, engine, blocked_by, evaluation.differences)


def _agreement(one: Witness, other: Witness) -> str | None:
    """Return with what the two do not agree, in words, or None if they agree with it or not with each other."""
    # One of them may differ in more texts, for a reason of its own.
    fewer, more = sorted((one.differences.cuts, other.differences.cuts), key=len)
    if fewer and fewer.items() <= more.items() and all(witness.blocked_by & BY_TEXT for witness in (one, other)):
        return f"the reference's tokenizer, in {len(fewer)} texts, the first of them {min(fewer)!r}"
    if not all(witness.blocked_by & BY_TOKEN for witness in (one, other)):
        return None
    ours, theirs = one.differences.nll, other.differences.nll
    # Both were compared in the same order, and one of them may have been decided earlier.
    common = min(len(ours), len(theirs))
    ours, theirs = ours[:common], theirs[:common]
    between = _size([left - right for left, right in zip(ours, theirs, strict=True)])
    nearest = min(_size(ours), _size(theirs))
    if between * CLOSER > nearest:
        return None
    return (
        f"the reference: {between:.2g} nats a token (root mean square) lie between them, and {nearest:.2g} "
        "or more between each of them and the reference"
    )


def _size(differences: Sequence[float]) -> float:
    """Return the root mean square of differences in nats."""
    return float((sum(value * value for value in differences) / max(1, len(differences))) ** 0.5)
