"""The gate writes a verdict that binds its answers to the artifact's files; a block is an answer, not an error."""

from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt, InvalidRecipe
from tasks.evaluation.caveats import Caveat, as_facts
from tasks.evaluation.control import ControlComparison, PairedDivergence
from tasks.evaluation.measurement import Benchmark, Comparison, Evaluation, Interval, Measurement
from tasks.evaluation.metrics import INTERRUPTED
from tasks.gates.bases import JudgedBase
from tasks.gates.defaults import DefaultRule
from tasks.gates.definitions import GATE
from tasks.gates.gate import GateParameters, gate
from tasks.gates.integrity import INTEGRITY_RULES
from tasks.gates.verdict import Rule, Verdict
from tasks.integrity.record import ComparedTensor, Integrity
from tests.fixtures.context import FolderContext, make_context, manifest_of

REASON = "a bound for this test"
FAITHFUL = Rule(metric="kld_mean", maximum=0.05, reason=REASON)
FAST = Rule(metric="decode_tokens_per_second", minimum=10, reason=REASON)
TEMPLATE = Rule(metric="chat_template_parity", minimum=1, reason=REASON)
ROUNDED = ComparedTensor(
    name="blk.1.up", sources=("up",), how="renamed", type="q8", elements=64, error=0.004, allowed_error=0.005, scale=1.0
)
WHOLE = Integrity(target="toy", tensors=(ROUNDED,), source_tensors=1)


def context_of(
    tmp_path: Path,
    kld: float,
    speed: float,
    facts: dict[str, Any] | None = None,
    disturbed: str | None = None,
    more: dict[str, float] | None = None,
    integrity: Integrity = WHOLE,
    timed: dict[str, Any] | None = None,
) -> FolderContext:
    folders = {name: tmp_path / name for name in ("artifact", "integrity", "evaluation", "benchmark")}
    for folder in folders.values():
        folder.mkdir()
    (folders["artifact"] / "model.gguf").write_bytes(b"weights")
    metrics = {"kld_mean": Measurement(value=kld, standard_error=0.001)}
    metrics |= {name: Measurement(value=value) for name, value in (more or {}).items()}
    evaluation = Evaluation(engine="toy 1", metrics=metrics)
    benchmark = Benchmark(
        engine="toy 1",
        threads=1,
        hardware="a test",
        prompt_tokens=8,
        generated_tokens=8,
        repetitions=2,
        metrics={"decode_tokens_per_second": Measurement(value=speed)},
        disturbed=disturbed,
    )
    (folders["integrity"] / "integrity.json").write_text(integrity.to_json())
    (folders["evaluation"] / "evaluation.json").write_text(evaluation.to_json())
    (folders["benchmark"] / "benchmark.json").write_text(benchmark.to_json())
    return make_context(tmp_path, folders, {"evaluation": facts or {}, "benchmark": timed or {}})


def verdict_of(context: FolderContext) -> Verdict:
    return Verdict.from_json((context.output / "verdict.json").read_bytes())


def test_all_gates_pass(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99)
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    verdict = verdict_of(context)
    assert verdict.passed
    assert verdict.files_digest == context.inputs["artifact"].files_digest
    assert [answer.rule for answer in verdict.answers] == [*INTEGRITY_RULES, FAITHFUL, FAST]
    assert {name: facts[name] for name in ("target", "passed", "reason")} == {
        "target": "toy-q8",
        "passed": True,
        "reason": "all 4 gates passed",
    }
    assert facts["metrics"]["kld_mean"] == {"value": 0.01, "standard_error": 0.001, "observations": 1}


def test_one_failed_gate_blocks_and_the_verdict_is_written(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.5, speed=99)
    facts = gate(GateParameters(target="toy-q2", rules=(FAITHFUL, FAST)), context)
    verdict = verdict_of(context)
    assert not verdict.passed
    assert facts["passed"] is False
    assert facts["reason"] == "KLD mean 0.5000 ± 0.0010 > 0.05"
    assert context.messages == ["BLOCKED toy-q2: KLD mean 0.5000 ± 0.0010 > 0.05"]


def test_a_disturbed_timing_that_misses_its_bound_is_undecided_and_blocks(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=9, disturbed="other processes took 0.9 of 2 cores")
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    assert [answer.outcome for answer in verdict_of(context).answers] == ["pass", "pass", "pass", "undecided"]
    assert facts["passed"] is False and facts["disturbed"] == "other processes took 0.9 of 2 cores"
    assert facts["reason"].endswith("run the release again on a quiet host")


def test_an_interrupted_timing_is_undecided(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99, timed={"interrupted": ["prefill_2048_tokens_per_second"]})
    assert INTERRUPTED in GATE.facts["benchmark"], "it decides the verdict, so it is in its key"
    rule = Rule(metric="prefill_2048_tokens_per_second", minimum=10, reason=REASON)
    assert gate(GateParameters(target="toy-q8", rules=(FAITHFUL, rule)), context)["passed"] is False
    assert verdict_of(context).answers[-1].outcome == "undecided"


def test_what_evaluation_and_benchmark_know_stands_in_the_verdict(tmp_path: Path) -> None:
    context = context_of(
        tmp_path,
        kld=0.01,
        speed=99,
        facts={"causes": {"end_token_parity": "it goes on", "tokenizer_parity": "2 of 9 texts, the first 'x'"}},
        more={"end_token_parity": 0.5, "tokenizer_parity": 0.9},
        timed={"causes": {"batch_decode_tokens_per_second": "one sequence alone is slow"}},
    )
    nfc = Caveat(text="the toy leaves the normalization out", explains="tokenizer_parity")
    context = make_context(
        tmp_path / "again",
        dict(context.folders),
        {**{name: given.facts for name, given in context.inputs.items()}, "artifact": as_facts([nfc])},
    )
    minima = ("end_token_parity", "tokenizer_parity", "batch_decode_tokens_per_second")
    rules = [Rule(metric=metric, minimum=1, reason=REASON) for metric in minima]
    rules.append(Rule(metric="kld_above_control", maximum=0, reason=REASON))
    gate(GateParameters(target="toy", rules=tuple(rules)), context)
    assert [answer.why for answer in verdict_of(context).answers[-4:]] == [
        "end token parity 50% < 100%: it goes on",
        "tokenizer parity 90% < 100%: the toy leaves the normalization out",
        "best batch was not measured: one sequence alone is slow; remove this gate of the target",
        "KLD above control was not measured: only a calibrated target whose weights are not its control's has this "
        "number; remove this gate of the target",
    ]
    assert "causes" in GATE.facts["evaluation"] and "causes" in GATE.facts["benchmark"], "they are in the verdict's key"


def test_a_disturbed_timing_that_meets_its_bound_passes(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99, disturbed="other processes took 0.9 of 2 cores")
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    assert facts["passed"] is True and facts["reason"] == "all 4 gates passed"


@pytest.mark.parametrize(("kld", "sign", "passed"), [(0.017, "≤", True), (0.04, ">", False)])
def test_a_default_gate_gives_way_to_the_noise_and_says_so(tmp_path: Path, kld: float, sign: str, passed: bool) -> None:
    context = context_of(
        tmp_path, kld, speed=99, facts={"noise_type": "bfloat16"}, more={"noise_kld_mean": 0.012, "noise_kld_p99": 0.1}
    )
    rule = DefaultRule(metric="kld_mean", maximum=0.002, reason=REASON, noise="half")
    assert gate(GateParameters(target="toy-bf16", rules=(rule,)), context)["passed"] is passed
    *_, answer = verdict_of(context).answers
    assert answer.rule.maximum == 0.018, "the bound in effect stands in the verdict"
    clause = "1.5 times the source's own noise in bfloat16, 0.0120"
    assert answer.why.startswith(f"KLD mean {kld:.4f} ± 0.0010 {sign} 0.018")
    assert answer.why.endswith(f", {clause}")
    assert answer.rule.reason == f"{clause}; {REASON}"


def with_control(tmp_path: Path, unchanged: bool = False, low: float = -0.002) -> FolderContext:
    """Return the context of a target that passes its gates, and its control."""
    given = context_of(tmp_path, kld=0.01, speed=99)
    number = Measurement(value=0.01, observations=2040)
    divergence = PairedDivergence(
        windows=8, target=number, control=number, above=number, interval=Interval(low=low, high=0.02)
    )
    control = tmp_path / "control"
    control.mkdir()
    found = ControlComparison(target="toy-q4", unchanged=unchanged, divergence=None if unchanged else divergence)
    (control / "control.json").write_text(found.to_json())
    return make_context(tmp_path / "with", {**given.folders, "control": control})


def test_a_target_that_is_no_worse_than_its_control_passes(tmp_path: Path) -> None:
    facts = gate(GateParameters(target="toy-q4", rules=(FAITHFUL, FAST)), with_control(tmp_path))
    assert facts["passed"] and facts["reason"] == "all 6 gates passed"
    assert {"weights_as_control", "control_kld_mean", "kld_above_control"} <= facts["metrics"].keys()


@pytest.mark.parametrize(
    ("unchanged", "low", "said"),
    [(True, 0.0, "calibration changed nothing"), (False, 0.001, "calibration makes it worse")],
)
def test_a_target_that_is_worse_than_its_control_or_the_same_is_blocked_whatever_the_recipe_says(
    tmp_path: Path, unchanged: bool, low: float, said: str
) -> None:
    facts = gate(GateParameters(target="toy-q4", rules=(FAITHFUL, FAST)), with_control(tmp_path, unchanged, low))
    assert not facts["passed"] and said in facts["reason"]


def test_a_calibrated_target_without_a_control_says_why(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99)
    parameters = GateParameters(target="toy-q2", rules=(FAITHFUL,), no_control="q2 cannot be made without it")
    assert gate(parameters, context)["reason"] == (
        "all 3 gates passed; its calibration was not compared with a control: q2 cannot be made without it"
    )


def test_a_weight_that_is_not_the_sources_blocks_whatever_the_recipe_says(tmp_path: Path) -> None:
    faulty = ROUNDED.model_copy(update={"fault": "scale 1.02, 0.999 to 1.001 allowed; it looks scaled"})
    context = context_of(tmp_path, 0.01, 99, integrity=WHOLE.model_copy(update={"tensors": (faulty, ROUNDED)}))
    # The recipe's own rule on the same metric does not take the place of the one that binds all.
    lenient = Rule(metric="tensors_faithful", minimum=0.1, reason=REASON)
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, lenient)), context)
    assert facts["passed"] is False
    assert facts["reason"] == (
        "faithful tensors 50% < 100%: blk.1.up: scale 1.02, 0.999 to 1.001 allowed; it looks scaled"
    )
    assert facts["metrics"]["tensors_faithful"]["value"] == 0.5


@pytest.mark.parametrize(
    ("holes", "said"),
    [
        ({"lost": ("down",)}, "not in the file and not left out on purpose: down"),
        ({"from_nowhere": ("blk.9.up",)}, "in the file, but from no tensor of the source: blk.9.up"),
    ],
)
def test_a_map_of_tensors_with_a_hole_blocks(tmp_path: Path, holes: dict[str, Any], said: str) -> None:
    context = context_of(tmp_path, 0.01, 99, integrity=WHOLE.model_copy(update={"source_tensors": 2, **holes}))
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL,)), context)
    assert facts["passed"] is False and facts["reason"].endswith(f"< 100%: {said}")


def test_a_tensor_that_was_not_compared_is_named_in_a_verdict_that_passed(tmp_path: Path) -> None:
    partly = WHOLE.model_copy(update={"not_compared": {"blk.1.odd": "nobody knows how it is made"}})
    context = context_of(tmp_path, 0.01, 99, integrity=partly)
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL,)), context)
    assert facts["passed"] is True
    assert facts["reason"] == (
        "all 3 gates passed; 1 tensor was not compared with the source (blk.1.odd): nobody knows how it is made"
    )


def test_a_file_without_any_compared_tensor_does_not_pass(tmp_path: Path) -> None:
    context = context_of(tmp_path, 0.01, 99, integrity=WHOLE.model_copy(update={"tensors": ()}))
    assert gate(GateParameters(target="toy-q8", rules=(FAITHFUL,)), context)["passed"] is False


def test_absence_never_passes(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99)
    with pytest.raises(InvalidRecipe, match="toy-q8"):
        gate(GateParameters(target="toy-q8", rules=()), context)
    assert gate(GateParameters(target="toy-q8", rules=(FAITHFUL, TEMPLATE)), context)["passed"] is False


def test_a_template_the_source_lacks_is_not_applicable_but_passes_nothing_alone(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99, facts={"not_applicable": ["chat_template_parity"]})
    assert gate(GateParameters(target="toy-q8", rules=(FAITHFUL, TEMPLATE)), context)["passed"] is True
    assert gate(GateParameters(target="toy-q8", rules=(TEMPLATE,)), context)["passed"] is False


def test_an_unreadable_measurement_is_named(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99)
    (tmp_path / "evaluation" / "evaluation.json").write_text('{"metrics": {"kld_mean": {"value": NaN}}}')
    with pytest.raises(Corrupt, match=r"evaluation\.json"):
        gate(GateParameters(target="toy-q8", rules=(FAITHFUL,)), context)


def test_the_verdict_names_the_engine_that_was_measured_and_the_pool(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.01, speed=99)
    gate(GateParameters(target="toy-q8", pool="gpu-l4", rules=(FAITHFUL,)), context)
    assert (verdict_of(context).engine, verdict_of(context).pool) == ("toy 1", "gpu-l4")


def test_what_is_made_from_a_blocked_base_is_blocked(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    base = context_of(tmp_path / "base", kld=0.06, speed=99)
    gate(GateParameters(target="toy-f16", rules=(FAITHFUL,)), base)
    context = context_of(tmp_path, kld=0.04, speed=99)
    parameters = GateParameters(
        target="toy-q4", rules=(FAITHFUL,), bases=(JudgedBase(target="toy-f16", verdict="base:toy-f16"),)
    )
    context.folders = {**context.folders, "base:toy-f16": base.output}
    context.inputs = {**context.inputs, "base:toy-f16": manifest_of(base.output)}
    facts = gate(parameters, context)
    assert facts["passed"] is False
    assert facts["reason"] == "made from toy-f16, which was blocked: KLD mean 0.0600 ± 0.0010 > 0.05"
    assert verdict_of(context).bases == {"toy-f16": "was blocked: KLD mean 0.0600 ± 0.0010 > 0.05"}


def test_what_is_made_from_a_base_without_a_verdict_is_blocked(tmp_path: Path) -> None:
    base = JudgedBase(target="toy-f16", verdict="base:toy-f16", failure="evaluate: the engine died")
    context = context_of(tmp_path, kld=0.01, speed=99)
    facts = gate(GateParameters(target="toy-q4", rules=(FAITHFUL,), bases=(base,)), context)
    assert facts["passed"] is False
    assert facts["reason"] == "made from toy-f16, which has no verdict: evaluate: the engine died"


def with_caveats(context: FolderContext, *caveats: Caveat) -> FolderContext:
    artifact = context.inputs["artifact"].model_copy(update={"facts": as_facts(caveats)})
    context.inputs = {**context.inputs, "artifact": artifact}
    return context


def test_a_known_cause_stands_beside_the_number_that_it_explains(tmp_path: Path) -> None:
    slow = Caveat(text="the engine lacks the layer", explains="kld_mean")
    context = with_caveats(context_of(tmp_path, kld=0.5, speed=99), slow)
    facts = gate(GateParameters(target="toy-q2", rules=(FAITHFUL, FAST)), context)
    assert facts["reason"] == "KLD mean 0.5000 ± 0.0010 > 0.05: the engine lacks the layer"


@pytest.mark.parametrize(("whole", "named"), [(1.0, True), (0.5, False)])
def test_a_caveat_that_does_not_explain_the_whole_loss_is_not_its_cause(
    tmp_path: Path, whole: float, named: bool
) -> None:
    partly = Caveat(text="spaces are left out", explains="kld_mean", only_if_whole="tokenizer_parity_nfc")
    context = with_caveats(context_of(tmp_path, kld=0.5, speed=99), partly)
    file = context.folders["evaluation"] / "evaluation.json"
    evaluation = Evaluation.from_json(file.read_text())
    metrics = {**evaluation.metrics, "tokenizer_parity_nfc": Measurement(value=whole)}
    file.write_text(evaluation.model_copy(update={"metrics": metrics}).to_json())
    gate(GateParameters(target="toy-q2", rules=(FAITHFUL, FAST)), context)
    assert verdict_of(context).blocking[0].why.endswith(": spaces are left out") == named


def test_a_caveat_stands_in_a_verdict_that_passed(tmp_path: Path) -> None:
    context = with_caveats(context_of(tmp_path, kld=0.01, speed=99), Caveat(text="the file's context ends at 300"))
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    assert (facts["passed"], facts["reason"]) == (True, "all 4 gates passed; the file's context ends at 300")
    assert verdict_of(context).caveats == ("the file's context ends at 300",)


def test_what_the_base_says_is_not_said_again(tmp_path: Path) -> None:
    why = "KLD mean 0.5000 ± 0.0010 > 0.05"
    (tmp_path / "base").mkdir()
    base = context_of(tmp_path / "base", kld=0.5, speed=99)
    gate(GateParameters(target="toy-f16", rules=(FAITHFUL,)), base)
    context = context_of(tmp_path, kld=0.5, speed=99)
    context.folders = {**context.folders, "base:toy-f16": base.output}
    context.inputs = {**context.inputs, "base:toy-f16": manifest_of(base.output)}
    judged = JudgedBase(target="toy-f16", verdict="base:toy-f16")
    facts = gate(GateParameters(target="toy-q4", rules=(FAITHFUL,), bases=(judged,)), context)
    assert facts["reason"] == f"made from toy-f16, which was blocked: {why}"


def write_comparison(context: FolderContext, low: float, high: float) -> None:
    path = context.folders["evaluation"] / "evaluation.json"
    comparison = Comparison(windows=8, available=8, ended="end", intervals={"kld_mean": Interval(low=low, high=high)})
    evaluation = Evaluation.from_json(path.read_bytes()).model_copy(update={"comparison": comparison})
    path.write_text(evaluation.to_json())


def test_too_close_to_call_blocks(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.04, speed=99)
    write_comparison(context, 0.03, 0.06)
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    assert [answer.outcome for answer in verdict_of(context).answers] == ["pass", "pass", "undecided", "pass"]
    assert not facts["passed"]
    assert facts["reason"].startswith("KLD mean 0.0400 ± 0.0010, too close to 0.05 to call after 1 tokens")


def test_a_gate_that_fails_is_the_reason_and_not_one_that_is_open(tmp_path: Path) -> None:
    context = context_of(tmp_path, kld=0.04, speed=1)
    write_comparison(context, 0.03, 0.06)
    facts = gate(GateParameters(target="toy-q8", rules=(FAITHFUL, FAST)), context)
    assert facts["reason"] == "decode 1 tokens/s < 10 tokens/s"
