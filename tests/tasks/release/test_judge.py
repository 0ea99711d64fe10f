"""A target passes only if each proof that was asked for passed; a block counts more than anything else."""

from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.formats.base import Target
from tasks.gates.verdict import Answer, Rule, Verdict
from tasks.manifest import Manifest
from tasks.release.judge import AskedProof, AskedTarget, judge
from tasks.release.record import ReleasedTarget
from tests.fixtures.context import FolderContext, make_context, manifest_of

TARGET = Target(name="x-one", format="x", scheme="one", maker="toy", engines=("toy",), on=("cpu", "gpu"))
RULE = Rule(metric="kld_mean", maximum=0.05, reason="a bound for this test")
NO_PLACE = "made and kept, but not measured, because it has no place"


@pytest.fixture
def context(tmp_path: Path) -> FolderContext:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "weights").write_bytes(b"weights")
    return make_context(tmp_path / "work", {"artifact:x-one": tmp_path / "artifact"})


def give(context: FolderContext, pool: str, passed: bool, of: Manifest | None = None, name: str | None = None) -> None:
    """Give the verdict on a proof, with a number of its own."""
    why = f"KLD mean on {pool}"
    answer = Answer(rule=RULE, outcome="pass" if passed else "fail", seen=0.1, why=why)
    artifact = of or context.inputs["artifact:x-one"]
    verdict = Verdict(
        target="x-one",
        engine=f"toy 1 on {pool}",
        pool=pool,
        artifact=artifact.key,
        files_digest=artifact.files_digest,
        passed=passed,
        answers=(answer,),
    )
    folder = context.output.parent / f"verdict-{pool}"
    folder.mkdir()
    (folder / "verdict.json").write_text(verdict.to_json())
    facts = {"metrics": {"kld_mean": {"value": 0.1 if pool == "cpu" else 0.2}}, "disturbed": f"others in {pool}"}
    named = f"verdict:{name or f'x-one.{pool}'}"
    context.folders = {**context.folders, named: folder}
    context.inputs = {**context.inputs, named: manifest_of(folder, "gate", facts)}


def judged(
    context: FolderContext, *, failures: dict[str, str] | None = None, absent: tuple[str, ...] = ()
) -> ReleasedTarget:
    proofs = tuple(
        AskedProof(
            name=f"x-one.{pool}",
            pool=pool,
            engine="toy",
            obstacle="it has no place" if pool in absent else None,
            failure=(failures or {}).get(pool),
        )
        for pool in TARGET.on
    )
    return judge(AskedTarget(target=TARGET, proofs=proofs), context)


def test_it_passed_if_every_proof_passed(context: FolderContext) -> None:
    give(context, "cpu", passed=True)
    give(context, "gpu", passed=True)
    target = judged(context)
    assert (target.outcome, target.reason) == ("passed", "cpu: all 1 gates passed; gpu: all 1 gates passed")
    assert [(proof.engine, proof.pool) for proof in target.proofs] == [
        ("toy 1 on cpu", "cpu"),
        ("toy 1 on gpu", "gpu"),
    ]
    assert [proof.metrics["kld_mean"].value for proof in target.proofs] == [0.1, 0.2]
    assert [proof.disturbed for proof in target.proofs] == [f"others in {proof.pool}" for proof in target.proofs]
    assert target.disturbed == "others in cpu"
    assert target.metrics["kld_mean"].value == 0.1, "the version has the numbers of the first proof"


@pytest.mark.parametrize(
    ("gpu", "failures", "absent", "outcome", "reason"),
    [
        (False, {}, (), "blocked", "gpu: KLD mean on gpu"),
        (None, {"gpu": "evaluate: it died"}, (), "failed", "gpu: evaluate: it died"),
        (None, {}, ("gpu",), "unproven", f"gpu: {NO_PLACE}"),
        # What the plan left out is not proven, whatever an earlier run left.
        (True, {}, ("gpu",), "unproven", f"gpu: {NO_PLACE}"),
    ],
)
def test_one_proof_that_did_not_pass_decides(
    context: FolderContext,
    gpu: bool | None,
    failures: dict[str, str],
    absent: tuple[str, ...],
    outcome: str,
    reason: str,
) -> None:
    give(context, "cpu", passed=True)
    if gpu is not None:
        give(context, "gpu", passed=gpu)
    target = judged(context, failures=failures, absent=absent)
    assert (target.outcome, target.reason) == (outcome, reason)
    assert [proof.outcome for proof in target.proofs] == ["passed", outcome]


def test_a_block_counts_more_than_a_failure_and_a_failure_more_than_no_place(context: FolderContext) -> None:
    assert judged(context, absent=("cpu",), failures={"gpu": "evaluate: it died"}).outcome == "failed"
    give(context, "gpu", passed=False)
    assert judged(context, absent=("cpu",)).outcome == "blocked"
    assert judged(context, failures={"cpu": "evaluate: it died"}).outcome == "blocked"


def test_the_reason_of_the_only_proof_does_not_name_its_pool(context: FolderContext) -> None:
    give(context, "cpu", passed=True, name="x-one")
    target = judge(AskedTarget(target=TARGET, proofs=(AskedProof(name="x-one", pool="cpu"),)), context)
    assert (target.outcome, target.reason) == ("passed", "all 1 gates passed")


def test_what_was_not_made_or_is_not_asked_for_did_not_pass(context: FolderContext) -> None:
    asked: dict[str, Any] = {"target": TARGET, "proofs": (AskedProof(name="x-one", pool="cpu"),)}
    empty = make_context(context.output.parent / "empty")
    target = judge(AskedTarget(**asked, failure="convert: no room"), empty)
    assert (target.outcome, target.reason, target.proofs) == ("failed", "convert: no room", ())
    assert judge(AskedTarget(target=TARGET), context).outcome == "failed", "no proof is no pass"
    skipped = judge(AskedTarget(**asked, skipped="not chosen"), context)
    assert (skipped.outcome, skipped.reason) == ("skipped", "not chosen")


def test_a_verdict_counts_for_its_files_and_its_pool_only(context: FolderContext, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights").write_bytes(b"others")
    give(context, "cpu", passed=True, of=manifest_of(tmp_path / "other"))
    give(context, "big", passed=True, name="x-one.gpu")
    target = judged(context)
    assert target.outcome == "failed"
    assert target.proofs[0].reason.startswith("its verdict is of other files")
    assert target.proofs[1].reason == "its verdict is of the pool big, not gpu"


def test_a_verdict_that_cannot_be_read_is_named(context: FolderContext) -> None:
    give(context, "cpu", passed=True)
    (context.folders["verdict:x-one.cpu"] / "verdict.json").write_text("{")
    with pytest.raises(Corrupt, match=r"The verdict on x-one\.cpu"):
        judged(context)
