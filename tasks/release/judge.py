"""Decides how a target ended, from the verdicts of its proofs, or from the reasons why there are none."""

from collections.abc import Sequence

from tasks.contract import TaskContext
from tasks.evaluation.measurement import Measurement
from tasks.formats.base import Target
from tasks.gates.verdict import Verdict
from tasks.manifest import Manifest
from tasks.model import Model
from tasks.plan.plan import PlannedProof
from tasks.release.record import ReleasedProof, ReleasedTarget

WORST_FIRST = ("blocked", "failed", "unproven", "passed")
"""The outcome of a target is the first of these that a proof of it has. So it passed only if all of them passed."""

NO_VERDICT = "it has no verdict; see the run's log"


class AskedProof(PlannedProof):
    """A proof that the recipe asks for.

    name: names its documents among the inputs of `register`; see Target.proof_names.
    failure: why it has no verdict, or None.
    """

    name: str
    failure: str | None = None


class AskedTarget(Model):
    """One target of the recipe, and what the recipe demands of it.

    skipped: why the plan left it out, or None.
    failure: why it was not made, or None.
    """

    target: Target
    required: bool = True
    expect_blocked: bool = False
    skipped: str | None = None
    failure: str | None = None
    proofs: tuple[AskedProof, ...] = ()


def judge(asked: AskedTarget, context: TaskContext) -> ReleasedTarget:
    """Return how a target ended.

    Inputs: `artifact:<target>`, and for each proof `verdict:<name>`, `evaluation:<name>` and `benchmark:<name>`, where
    they exist. A target without any proof did not pass.
    """
    artifact = context.inputs.get(f"artifact:{asked.target.name}")
    target = ReleasedTarget(
        target=asked.target.name,
        format=asked.target.format,
        outcome="failed",
        reason=asked.failure or NO_VERDICT,
        required=asked.required,
        expect_blocked=asked.expect_blocked,
        files_digest=artifact.files_digest if artifact else None,
        size_bytes=artifact.size if artifact else None,
        artifact=_key(artifact),
    )
    if asked.skipped is not None:
        return target.model_copy(update={"outcome": "skipped", "reason": asked.skipped})
    if artifact is None or not asked.proofs:
        return target
    proofs = tuple(_judge_proof(asked.target.name, proof, artifact, context) for proof in asked.proofs)
    outcome = next(word for word in WORST_FIRST if any(proof.outcome == word for proof in proofs))
    return target.model_copy(update={"outcome": outcome, "reason": _reason(proofs, outcome), "proofs": proofs})


def _judge_proof(target: str, asked: AskedProof, artifact: Manifest, context: TaskContext) -> ReleasedProof:
    verdict_manifest, evaluation, benchmark = (
        context.inputs.get(f"{kind}:{asked.name}") for kind in ("verdict", "evaluation", "benchmark")
    )
    proof = ReleasedProof(
        engine=asked.engine,
        pool=asked.pool,
        outcome="unproven" if asked.unproven else "failed",
        reason=asked.unproven or asked.failure or NO_VERDICT,
        verdict=_key(verdict_manifest),
        evaluation=_key(evaluation),
        benchmark=_key(benchmark),
    )
    if verdict_manifest is None or asked.unproven:
        return proof
    path = context.materialize(f"verdict:{asked.name}") / "verdict.json"
    verdict = Verdict.read_file(path, f"The verdict on {asked.name}")
    if (verdict.target, verdict.files_digest) != (target, artifact.files_digest):
        return proof.model_copy(update={"reason": f"its verdict is of other files: {verdict.files_digest[:12]}"})
    if verdict.pool != asked.pool:
        return proof.model_copy(update={"reason": f"its verdict is of the pool {verdict.pool}, not {asked.pool}"})
    measured = verdict_manifest.facts.get("metrics", {})
    return proof.model_copy(
        update={
            "engine": verdict.engine,
            "outcome": "passed" if verdict.passed else "blocked",
            "reason": verdict.reason,
            "metrics": {metric: Measurement.model_validate(value) for metric, value in measured.items()},
            "disturbed": verdict_manifest.facts.get("disturbed"),
        }
    )


def _reason(proofs: Sequence[ReleasedProof], outcome: str) -> str:
    """Return the reasons of the proofs that decided the outcome; with their pools if the target has several proofs."""
    if len(proofs) == 1:
        return proofs[0].reason
    return "; ".join(f"{proof.pool}: {proof.reason}" for proof in proofs if proof.outcome == outcome)


def _key(manifest: Manifest | None) -> str | None:
    return manifest.key if manifest else None
