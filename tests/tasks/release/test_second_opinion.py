"""Two engines that agree with each other and not with the reference make the reference suspect."""

import random
from pathlib import Path
from typing import Literal

import pytest

from tasks.evaluation.measurement import Differences, Evaluation
from tasks.formats.base import Target
from tasks.gates.verdict import Answer, Rule, Verdict
from tasks.release.judge import AskedProof, AskedTarget
from tasks.release.record import ReleasedProof, ReleasedTarget
from tasks.release.second_opinion import suspicion, unproven
from tests.fixtures.context import FolderContext, make_context


def draws(deviation: float, seed: int) -> tuple[float, ...]:
    """Return random differences in nats."""
    draw = random.Random(seed)
    return tuple(draw.gauss(0, deviation) for _ in range(400))


OFF = draws(0.05, seed=1)
"""What a wrong reference adds to the difference of every right artifact, in nats."""


def shaken(values: tuple[float, ...], by: float, seed: int) -> tuple[float, ...]:
    """Add errors of an artifact's own."""
    return tuple(value + error for value, error in zip(values, draws(by, seed), strict=True))


@pytest.fixture
def context(tmp_path: Path) -> FolderContext:
    return make_context(tmp_path / "work")


def give(
    context: FolderContext,
    name: str,
    engine: str,
    nll: tuple[float, ...],
    blocked_by: str | None = "kld_mean",
    cuts: dict[str, str] | None = None,
    outcome: Literal["fail", "undecided"] = "fail",
) -> AskedTarget:
    """Give the evaluation of one artifact, and its verdict: blocked by one gate, or passed."""
    rule = Rule(metric=blocked_by or "kld_mean", maximum=0.05, reason="a bound for this test")
    answer = Answer(rule=rule, outcome=outcome if blocked_by else "pass", seen=0.1, why="measured")
    verdict = Verdict(
        target=name, artifact="a", files_digest="b", passed=blocked_by is None, answers=(answer,), engine=engine
    )
    evaluation = Evaluation(engine=engine, metrics={}, differences=Differences(nll=nll, cuts=cuts or {}))
    for kind, document in (("verdict", verdict), ("evaluation", evaluation)):
        folder = context.output.parent / f"{kind}-{name}"
        folder.mkdir()
        (folder / f"{kind}.json").write_text(document.to_json())
        added = make_context(folder / "context", {f"{kind}:{name}": folder})
        context.folders = {**context.folders, **added.folders}
        context.inputs = {**context.inputs, **added.inputs}
    target = Target(name=name, format="x", scheme="one", maker="toy", engines=("toy",))
    return AskedTarget(target=target, proofs=(AskedProof(name=name, pool="cpu", engine="toy"),))


def test_two_engines_that_agree_make_the_reference_suspect(context: FolderContext) -> None:
    asked = [
        give(context, "x-f16", "toy 1.0", shaken(OFF, 0.001, 2)),
        give(context, "y-fp32", "abacus 2.1", shaken(OFF, 0.002, 3)),
    ]
    why = suspicion(asked, context)
    assert why is not None
    assert why.startswith(
        "the reference is suspect: x-f16 in toy and y-fp32 in abacus agree with each other and not with the reference: "
    )
    assert "0.0022 nats a token" in why and "0.047 or more" in why


def test_only_the_tokens_that_both_compared_count(context: FolderContext) -> None:
    """One of them was decided earlier. What follows in the other is as far off as it likes."""
    asked = [
        give(context, "x-f16", "toy 1.0", (*shaken(OFF, 0.001, 2), *draws(5.0, seed=9))),
        give(context, "y-fp32", "abacus 2.1", shaken(OFF, 0.002, 3)),
    ]
    assert suspicion(asked, context) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "toy 1.0"},
        {"nll": draws(0.05, seed=4)},
        {"nll": shaken(OFF, 0.05, 5)},
        {"blocked_by": None},
        {"blocked_by": "decode_tokens_per_second"},
        {"blocked_by": "answer_recall"},
        {"outcome": "undecided"},
    ],
    ids=[
        "the same engine",
        "an error of its own",
        "mostly an error of its own",
        "one passed",
        "blocked for its speed",
        "blocked for its answers",
        "not compared to the end",
    ],
)
def test_anything_less_is_no_second_opinion(context: FolderContext, change: dict[str, object]) -> None:
    second = {"engine": "abacus 2.1", "nll": shaken(OFF, 0.001, 3), **change}
    asked = [give(context, "x-f16", "toy 1.0", OFF), give(context, "y-fp32", **second)]  # type: ignore[arg-type]
    assert suspicion(asked, context) is None


def test_two_tokenizers_that_agree_make_that_of_the_reference_suspect(context: FolderContext) -> None:
    cuts = {"a space": "1" * 64, "two spaces": "2" * 64}
    one = give(context, "x-f16", "toy 1.0", OFF, "tokenizer_parity", cuts)
    other = give(context, "y-fp32", "abacus 2.1", (0.0,) * 400, "tokenizer_parity", cuts)
    assert suspicion([one, other], context) == (
        "the reference is suspect: x-f16 in toy and y-fp32 in abacus agree with each other and not with the "
        "reference's tokenizer, in 2 texts, the first of them 'a space'"
    )


def test_tokenizers_that_differ_in_one_text_do_not_agree(context: FolderContext) -> None:
    one = give(context, "x-f16", "toy 1.0", OFF, "tokenizer_parity", {"a": "1" * 64, "b": "2" * 64})
    other = give(context, "y-fp32", "abacus 2.1", OFF, "tokenizer_parity", {"a": "1" * 64, "b": "3" * 64})
    assert suspicion([one, other], context) is None


def test_a_tokenizer_may_differ_in_more_texts_for_a_reason_of_its_own(context: FolderContext) -> None:
    """As llama.cpp's, which never normalizes: its gate is on the texts in Unicode's form NFC."""
    shared = {"a": "1" * 64}
    one = give(context, "x-f16", "toy 1.0", OFF, "tokenizer_parity_nfc", {**shared, "decomposed": "2" * 64})
    other = give(context, "y-fp32", "abacus 2.1", OFF, "tokenizer_parity", shared)
    assert "the reference's tokenizer, in 1 texts" in (suspicion([one, other], context) or "")


def test_a_proof_without_documents_has_no_opinion(context: FolderContext) -> None:
    missing = AskedTarget(
        target=Target(name="z", format="x", scheme="one", maker="toy", engines=("toy",)),
        proofs=(AskedProof(name="z", pool="cpu", engine="toy", failure="evaluate: planted"),),
    )
    assert suspicion([missing, give(context, "x-f16", "toy 1.0", OFF)], context) is None


@pytest.mark.parametrize(
    ("outcome", "becomes"), [("passed", "unproven"), ("blocked", "unproven"), ("failed", "failed")]
)
def test_what_rests_on_the_reference_is_unproven(outcome: str, becomes: str) -> None:
    proof = ReleasedProof(outcome=outcome, reason="before")
    target = ReleasedTarget(target="x", format="x", outcome=outcome, reason="before", proofs=(proof,))
    found = unproven(target, "the reference is suspect")
    reason = "before" if outcome == "failed" else "the reference is suspect"
    assert (found.outcome, found.reason) == (becomes, reason)
    assert [(proof.outcome, proof.reason) for proof in found.proofs] == [(becomes, reason)]
