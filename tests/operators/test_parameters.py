"""From a trigger and what the tasks before told, to the parameters of the next: JSON, and the whole truth."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from operators import parameters
from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound, DefaultBound
from tasks.evaluation.parameters import ASKED, QUESTIONS, ReferenceParameters
from tasks.gates.defaults import DefaultRule
from tasks.gates.gate import GateParameters
from tasks.host.facts import host_facts
from tasks.proving.parameters import EvaluateParameters
from tasks.recipe import Recipe
from tasks.settings import REPOSITORY
from tests.operators.airflow_context import context
from tests.operators.conftest import MakeRecipe

PIN = {"facts": {"repository": "acme/tiny", "commit": "1" * 40, "licence": "mit", "licence_link": None}}
FETCHED = {"artifact": "snapshot", "facts": {"commit": "1" * 40}}
SCANNED = {"artifact": "checks", "facts": {}, "made_from": {"fetch": "snapshot"}}
ANALYZED = {"artifact": "analysis", "facts": {"parameters": 8_000_000_000}, "made_from": {"fetch": "snapshot"}}
PROOF = {"pool": "cpu", "engine": "toy", "obstacle": None}
MADE = {"made": True, "reason": "chosen", "proofs": [PROOF]}
ALL = ("gguf-q8_0", "gguf-q4_k_m", "onnx-fp32")


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe(*ALL, required=["gguf-*"], expect_blocked=["gguf-q4_k_m"])


def plan(**changed: Any) -> dict[str, Any]:
    return {"facts": {"targets": {name: changed.get(name, MADE) for name in ALL}}}


def steps(**changed: Any) -> dict[str, Any]:
    """What the tasks before the first target have told; without those that are None here."""
    told = {"pin": PIN, "fetch": FETCHED, "scan": SCANNED, "analyze": ANALYZED, "preflight": plan(), **changed}
    return {step: result for step, result in told.items() if result}


def target_tasks(name: str) -> dict[str, Any]:
    """What the tasks of a target have told that lead to its verdict."""
    sources: dict[str, str] = {"fetch": "snapshot", "analyze": "analysis"}
    artifact, reference = {f"{name}.convert": f"{name}-file"}, {"reference": "answers"}
    integrity, measured = {f"{name}.compare_weights": "weights"}, {f"{name}.evaluate": "numbers"}
    timed = {f"{name}.benchmark": "timing"}
    made_from = {
        "evaluation_text": ("text", {}),
        "reference": ("answers", sources | {"evaluation_text": "text"}),
        f"{name}.convert": (f"{name}-file", sources),
        f"{name}.compare_weights": ("weights", sources | artifact),
        f"{name}.evaluate": ("numbers", artifact | reference | integrity | {"analyze": "analysis"}),
        f"{name}.benchmark": ("timing", artifact | reference),
        f"{name}.gate": ("verdict", artifact | integrity | measured | timed),
    }
    return {task: {"artifact": key, "facts": {}, "made_from": inputs} for task, (key, inputs) in made_from.items()}


def released(recipe: Recipe, given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    told = parameters.release(recipe)(given)
    json.dumps(told)
    return {target["target"]["name"]: target for target in told["targets"]}


def test_pin_gets_the_forms_model_and_the_recipes_policy(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-q8_0", licences=["mit"], code=[{"repository": "a/b", "commit": "1" * 40}])
    told = parameters.pin(recipe)(context(model="acme/x", revision="v1"))
    assert told["repository"] == "acme/x" and told["revision"] == "v1" and told["licences"] == ["mit"]
    assert told["code"] == [{"repository": "a/b", "commit": "1" * 40}] and told["pickles"] == "refuse"
    with pytest.raises(AirflowFailException, match="fill in 'model'"):
        parameters.pin(recipe)(context(model=None))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dryrun": True}, r"the parameter 'dryrun', which the DAG does not have \(did you mean 'dry_run'\?\)"),
        ({"Force": True}, r"'Force'.*'force'"),
        ({"target": ["gguf-q8_0"]}, r"'target'.*'targets'"),
        ({"x": 1}, r"'x'.*\(known: model, revision, targets, dry_run, force\); trigger a new run without it"),
    ],
    ids=str,
)
def test_a_misspelt_parameter_is_refused_before_anything_is_done(
    make_recipe: MakeRecipe, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        parameters.pin(make_recipe("gguf-q8_0"))(context(**given))


def test_what_airflow_adds_to_a_run_that_another_dag_triggers_is_taken(make_recipe: MakeRecipe) -> None:
    assert parameters.pin(make_recipe("gguf-q8_0"))(context(openlineage={"parentRunId": "x"}))["repository"]


@pytest.mark.parametrize("run_id", ["release~2", "_nightly", "-x", ".x", "x" * 251])
def test_a_run_id_that_cannot_be_a_releases_is_refused_at_once(make_recipe: MakeRecipe, run_id: str) -> None:
    with pytest.raises(AirflowFailException, match="cannot be the id of a release; trigger a new run"):
        parameters.pin(make_recipe("gguf-q8_0"))(context(run_id=run_id))


@pytest.mark.parametrize("run_id", ["manual__2026-11-23T01:00:00.000001+00:00", "nightly-2026-11-30", "x" * 250])
def test_a_run_id_may_be_airflows_or_a_persons(make_recipe: MakeRecipe, run_id: str) -> None:
    assert parameters.pin(make_recipe("gguf-q8_0"))(context(run_id=run_id))["repository"]


def test_scan_gets_the_name_that_the_hub_has_for_the_model(make_recipe: MakeRecipe) -> None:
    code = [{"repository": "old/tiny", "commit": "1" * 40}, {"repository": "a/b", "commit": "1" * 40}]
    told = parameters.scan(make_recipe("gguf-q8_0", code=code))(context({"pin": PIN}, model="old/tiny"))
    assert told["repository"] == "acme/tiny"
    assert [entry["repository"] for entry in told["code"]] == ["acme/tiny", "a/b"]


def test_the_report_gets_what_the_recipe_says_of_itself(make_recipe: MakeRecipe) -> None:
    assert parameters.summary(make_recipe("gguf-q8_0"))["context"] == "compared"
    assert parameters.summary(make_recipe("gguf-q8_0", context="source"))["context"] == "source"


@pytest.mark.parametrize("step", ["text", "preflight"])
def test_a_text_that_cannot_be_read_is_named(recipe: Recipe, tmp_path: Path, step: str) -> None:
    lost = recipe.model_copy(update={"folder": tmp_path})
    given = context({"analyze": ANALYZED}, targets=[], dry_run=step == "preflight")
    asked = parameters.text(lost, "a.jsonl") if step == "text" else parameters.preflight(lost, [])
    with pytest.raises(InvalidRecipe, match=rf"^{tmp_path}/.*jsonl cannot be read \(No such file.*\); let the user"):
        asked(given)


def test_a_text_is_named_with_its_digest_at_the_time(recipe: Recipe) -> None:
    told = parameters.text(recipe, recipe.texts.evaluation)(context())
    data = (REPOSITORY / "dags/recipes/texts/demo-evaluation.jsonl").read_bytes()
    assert told == {
        "path": "dags/recipes/texts/demo-evaluation.jsonl",
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_preflight_gets_what_was_chosen_and_what_the_host_has(recipe: Recipe) -> None:
    given = context({"analyze": ANALYZED}, targets=["onnx-fp32", "gguf-q8_0"], dry_run=True)
    told = parameters.preflight(recipe, recipe.targets)(given)
    assert told["chosen"] == ["gguf-q8_0", "onnx-fp32"], "in the recipe's order"
    assert {pool["name"]: pool["slots"] for pool in told["pools"]} == {"cpu": 4, "gpu": 1}
    assert told["disk_bytes"] > 0 and told["cache_bytes"] == host_facts().cache_bytes and told["dry_run"]


def test_an_evaluation_gets_the_bounds_of_its_target(make_recipe: MakeRecipe) -> None:
    def told(recipe: Recipe) -> EvaluateParameters:
        given = context({"analyze": {"facts": {"parameters": 135_000_000}}})
        return EvaluateParameters.model_validate(parameters.evaluate(recipe, recipe.targets[0], "llama.cpp")(given))

    found = told(make_recipe("gguf-q8_0"))
    assert found.target.engines == ("llama.cpp",)
    assert found.bounds == (Bound(metric="kld_mean", maximum=0.05),)
    assert told(make_recipe("gguf-q8_0", evaluation={"stop": "never"})).bounds == ()
    defaults = {bound.metric: bound for bound in told(make_recipe("gguf-q8_0", gates="defaults")).bounds}
    assert defaults["kld_mean"] == DefaultBound(metric="kld_mean", maximum=0.008, noise="half")


def asked_of_reference(recipe: Recipe, **planned: Any) -> ReferenceParameters:
    given = context({"preflight": plan(**planned), "analyze": ANALYZED})
    return ReferenceParameters.model_validate(parameters.reference(recipe)(given))


def test_the_reference_answers_no_more_questions_than_are_asked(make_recipe: MakeRecipe) -> None:
    answers = {"metric": "answer_recall", "minimum": 0.5, "reason": "a gate on the answers"}
    for gates, count in (("defaults", ASKED), (["defaults", answers], QUESTIONS)):
        assert asked_of_reference(make_recipe("gguf-q8_0", gates=gates)).questions == count


def test_the_reference_gets_the_bounds_that_its_text_must_decide(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(*ALL, gates="defaults")
    found = asked_of_reference(recipe, **{"onnx-fp32": {**MADE, "made": False}})
    assert set(found.bounds) == {"gguf-q8_0", "gguf-q4_k_m"}
    assert Bound(metric="top1_agreement", minimum=0.965) in found.bounds["gguf-q8_0"]
    assert asked_of_reference(make_recipe(*ALL, evaluation={"stop": "never"})).bounds == {}
    nowhere = {**MADE, "proofs": [{**PROOF, "obstacle": "no pool has a GPU"}]}
    assert set(asked_of_reference(recipe, **{"onnx-fp32": nowhere}).bounds) == {"gguf-q8_0", "gguf-q4_k_m"}


def test_the_reference_is_made_without_a_target_that_came_into_the_recipe_since(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(*ALL, "gguf-q5_k_m", gates="defaults")
    assert set(asked_of_reference(recipe).bounds) == set(ALL)


def test_the_bounds_and_the_end_of_a_comparison_do_not_change_the_key_of_the_reference(make_recipe: MakeRecipe) -> None:
    tight = [{"metric": "kld_mean", "maximum": 0.01, "reason": "another bound for tests"}]
    recipes = [make_recipe(*ALL, **changed) for changed in ({}, {"gates": tight}, {"evaluation": {"stop": "never"}})]
    first, *others = [asked_of_reference(recipe) for recipe in recipes]
    for other in others:
        assert other != first
        assert other.model_dump(exclude={"questions"}) == first.model_dump(exclude={"questions"})


def test_preflight_gets_the_gates_in_effect_for_its_log(make_recipe: MakeRecipe) -> None:
    own = {"metric": "kld_p99", "maximum": 0.4, "targets": "gguf-q4_0", "reason": "replaces the default"}
    recipe = make_recipe("gguf-q4_0", "gguf-q4_k_m", "gguf-q8_0", gates=["defaults", own])
    lines = parameters.preflight(recipe, recipe.targets)(context({"analyze": ANALYZED}))["gates"]
    alike = (
        "KLD mean ≤ 0.06; KLD long ≤ 0.06; KLD p99 ≤ {}; top-1 agreement ≥ 88%; Δ ln perplexity ≤ 0.07; "
        "5 parities ≥ 100%"
    )
    assert lines[:2] == [
        f"Gates of gguf-q4_0: {alike.format(0.4)}.",
        f"Gates of gguf-q4_k_m: {alike.format(0.6)}.",
    ]
    assert lines[2].startswith("Gates of gguf-q8_0: KLD mean ≤ 0.002; ")
    small = parameters.preflight(recipe, recipe.targets)(context({"analyze": {"facts": {"parameters": 135_000_000}}}))
    assert small["gates"][2].startswith("Gates of gguf-q8_0: KLD mean ≤ 0.008; ")


def test_a_gate_gets_the_default_bounds_of_the_models_size(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-q8_0", gates="defaults")
    told = {"analyze": ANALYZED, "preflight": {"facts": {"targets": {"gguf-q8_0": MADE}}}}
    rules = GateParameters.model_validate(judged(recipe, context(told), "gguf-q8_0")).rules
    (bound,) = [rule for rule in rules if rule.metric == "kld_mean"]
    assert isinstance(bound, DefaultRule), "what it gives way to is not lost on the way"
    assert (bound.maximum, bound.noise) == (0.002, "half")


def test_a_release_tells_of_every_target_what_is_demanded(recipe: Recipe) -> None:
    skipped = {"made": False, "reason": "it needs a GPU"}
    told = {**steps(preflight=plan(**{"onnx-fp32": skipped})), "gguf-q8_0.gate": {"artifact": "x"}}
    targets = released(recipe, context(told, {"gguf-q4_k_m.evaluate": "the engine died"}, targets=list(ALL)))
    assert [targets[name]["required"] for name in ALL] == [True, False, False]
    assert [targets[name]["expect_blocked"] for name in ALL] == [False, True, False]
    assert [targets[name]["skipped"] for name in ALL] == [None, None, "it needs a GPU"]
    assert [targets[name]["failure"] for name in ALL] == [None, None, None]
    assert targets["gguf-q8_0"]["proofs"] == [PROOF | {"name": "gguf-q8_0", "failure": None}]
    assert targets["gguf-q4_k_m"]["proofs"][0]["failure"] == "evaluate: the engine died"
    assert targets["onnx-fp32"]["proofs"] == []


def test_what_was_not_chosen_is_not_required(recipe: Recipe) -> None:
    told = steps(preflight=plan(**{"gguf-q8_0": {"made": False, "reason": "not chosen"}}))
    assert not released(recipe, context(told, targets=["onnx-fp32"]))["gguf-q8_0"]["required"]


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        ("gguf-f16.convert", "gguf-f16.convert: why"),
        ("reference", "reference: why"),
        ("evaluation_text", "evaluation_text: why"),
        ("gguf-q8_0.convert", "convert: why"),
        ("gguf-q8_0.gate", "gate: why"),
        ("onnx-fp32.convert", None),
    ],
)
def test_a_failed_target_tells_what_the_first_failed_task_on_its_way_said(
    recipe: Recipe, failed: str, said: str | None
) -> None:
    given = context(steps(), {failed: "why"})
    told = released(recipe, given)["gguf-q8_0"]
    assert told["proofs"][0]["failure"] == said
    assert told["failure"] == (said if "convert" in failed else None), "why it was not made"


def judged(recipe: Recipe, given: dict[str, Any], name: str = "gguf-q4_k_m") -> dict[str, Any]:
    (target,) = [target for target in recipe.targets if target.name == name]
    told = parameters.gate(recipe, target, 0)(given)
    json.dumps(told)
    return told


def test_a_gate_hears_of_the_proofs_of_its_bases(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe({"gguf-f16": {"on": ["cpu", "gpu", "absent"]}}, "gguf-q4_k_m")
    places = [PROOF, PROOF | {"pool": "gpu"}, {"pool": "absent", "engine": None, "obstacle": "no such pool"}]
    targets = {"gguf-f16": MADE | {"proofs": places}, "gguf-q4_k_m": MADE}
    told = {"analyze": ANALYZED, "preflight": {"facts": {"targets": targets}}, "gguf-f16.cpu.gate": {"artifact": "x"}}
    failed = {"gguf-f16.gpu.evaluate": "the engine died"}
    given = judged(recipe, context(told, failed, targets=list(recipe.target_names)))
    assert (given["target"], given["pool"], len(given["rules"])) == ("gguf-q4_k_m", "cpu", 1)
    # A proof that has no place says nothing about the base.
    assert given["bases"] == [
        {"target": "gguf-f16", "verdict": "base:gguf-f16.cpu", "failure": None},
        {"target": "gguf-f16", "verdict": "base:gguf-f16.gpu", "failure": "evaluate: the engine died"},
    ]


def test_a_gate_hears_why_a_calibrated_target_has_no_control(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-q4_k_m", "gguf-iq2_xxs", "gguf-q8_0")
    planned = {"facts": {"targets": dict.fromkeys(recipe.target_names, MADE)}}
    given = context({"analyze": ANALYZED, "preflight": planned}, targets=list(recipe.target_names))
    told = {name: judged(recipe, given, name)["no_control"] for name in recipe.target_names}
    assert told == {
        "gguf-q4_k_m": None,
        "gguf-iq2_xxs": "iq2_xxs cannot be made without an importance matrix",
        "gguf-q8_0": None,
    }


def test_a_base_counts_also_if_it_was_not_chosen(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-f16", "gguf-q4_k_m")
    planned = {"facts": {"targets": {"gguf-f16": MADE, "gguf-q4_k_m": MADE}}}
    given = context(steps(preflight=planned), targets=["gguf-q4_k_m"])
    assert [base["target"] for base in judged(recipe, given)["bases"]] == ["gguf-f16"]
    assert released(recipe, given)["gguf-f16"]["skipped"] == "made as a base of others and was not chosen itself"


def test_the_nearest_judged_bases_count(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-f16", "gguf-q4_k_m", "onnx-int8")
    bases = {target.name: [base.name for base in parameters.judged_bases(recipe, target)] for target in recipe.targets}
    assert bases == {"gguf-f16": [], "gguf-q4_k_m": ["gguf-f16"], "onnx-int8": []}
    # What lies between is made, and has no verdict of its own.
    through = recipe.targets[1].model_copy(update={"requires": ("gguf-imatrix", "snapshot")})
    assert [base.name for base in parameters.judged_bases(recipe, through)] == ["gguf-f16"]


def test_in_a_dry_run_there_is_nothing_to_register(recipe: Recipe) -> None:
    with pytest.raises(AirflowSkipException, match="dry run"):
        parameters.release(recipe)(context(steps(), dry_run=True))


@pytest.mark.parametrize("step", parameters.BEFORE_TARGETS)
def test_a_step_without_a_result_leaves_nothing_to_register(recipe: Recipe, step: str) -> None:
    """What later tasks told before somebody cleared the run is of another commit, or of a model that was refused."""
    told = steps(**{step: None}) | target_tasks("gguf-q8_0")
    assert released(recipe, context(steps() | target_tasks("gguf-q8_0")))["gguf-q8_0"]["proofs"][0]["failure"] is None
    with pytest.raises(AirflowSkipException, match=f"^The task {step} left no result, so there is nothing to register"):
        parameters.release(recipe)(context(told, {step: "the Hub is away"}))


def test_a_commit_that_pin_chose_after_the_fetch_is_not_released(recipe: Recipe) -> None:
    moved = {"facts": {**PIN["facts"], "commit": "2" * 40}}
    with pytest.raises(
        AirflowFailException, match="^The snapshot is of the commit 1+, and pin has chosen 2+ since; cl"
    ):
        parameters.release(recipe)(context(steps(pin=moved)))


def test_a_step_that_worked_on_an_earlier_snapshot_is_to_be_cleared(recipe: Recipe) -> None:
    with pytest.raises(
        AirflowFailException, match="^The result of scan was made from an earlier result of fetch; clear"
    ):
        parameters.release(recipe)(context(steps(fetch=FETCHED | {"artifact": "another"})))


WAY = ("evaluation_text", "reference", *(f"gguf-q8_0.{task}" for task in ("compare_weights", "evaluate", "benchmark")))


@pytest.mark.parametrize("failed", WAY)
def test_a_verdict_of_before_a_task_was_cleared_and_failed_does_not_count(recipe: Recipe, failed: str) -> None:
    told = steps() | target_tasks("gguf-q8_0")
    del told[failed]
    name = failed.removeprefix("gguf-q8_0.")
    (proof,) = released(recipe, context(told, {failed: "why"}))["gguf-q8_0"]["proofs"]
    assert proof["failure"] == f"{name}: why"
    # A task that was killed tells nothing.
    (proof,) = released(recipe, context(told))["gguf-q8_0"]["proofs"]
    assert proof["failure"].endswith(
        f"was made from an earlier result of {failed}; clear {failed} and what follows it."
    )


def test_an_artifact_of_an_earlier_snapshot_says_what_to_clear(recipe: Recipe) -> None:
    told = steps() | target_tasks("gguf-q8_0")
    told["gguf-q8_0.convert"]["made_from"] = {"fetch": "another"}
    target = released(recipe, context(told))["gguf-q8_0"]
    assert target["failure"] == (
        "The result of gguf-q8_0.convert was made from an earlier result of fetch; clear fetch and what follows it."
    )
    assert target["proofs"][0]["failure"] == target["failure"]


def test_a_base_whose_verdict_no_longer_holds_has_none(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-f16", "gguf-q4_k_m")
    planned = {"facts": {"targets": {"gguf-f16": MADE, "gguf-q4_k_m": MADE}}}
    told = steps(preflight=planned) | target_tasks("gguf-f16")
    assert judged(recipe, context(told))["bases"][0]["failure"] is None
    del told["reference"]
    assert judged(recipe, context(told, {"reference": "why"}))["bases"][0]["failure"] == "reference: why"


CHANGED = "the recipe has changed since this run began; trigger a new run"


@pytest.mark.parametrize(
    "edited", ["gguf-q5_k_m", {"gguf-q8_0": {"on": ["cpu", "gpu"]}}, {"gguf-q8_0": {"on": ["gpu"]}}]
)
def test_a_target_that_came_with_an_edit_during_the_run_is_left_out_and_the_others_are_not(
    make_recipe: MakeRecipe, edited: Any
) -> None:
    recipe = make_recipe(edited, "gguf-q4_k_m", "onnx-fp32")
    told = steps() | target_tasks("gguf-q4_k_m")
    targets = released(recipe, context(told, targets=list(ALL)))
    assert targets[recipe.target_names[0]]["skipped"] == CHANGED
    assert targets["gguf-q4_k_m"]["skipped"] is None and targets["gguf-q4_k_m"]["proofs"][0]["failure"] is None


def test_a_base_that_came_with_an_edit_during_the_run_blocks(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe({"gguf-f16": {"on": ["cpu", "gpu"]}}, "gguf-q4_k_m")
    for planned in ({"gguf-q4_k_m": MADE}, {"gguf-q4_k_m": MADE, "gguf-f16": MADE}):
        given = context(steps(preflight={"facts": {"targets": planned}}))
        assert judged(recipe, given)["bases"] == [
            {"target": "gguf-f16", "verdict": "base:gguf-f16", "failure": CHANGED}
        ]


def test_conclude_hears_of_the_first_step_that_stopped() -> None:
    done: dict[str, Any] = {step: {"facts": {}} for step in parameters.STEPS}
    assert parameters.conclude(context(done)) == {"dry_run": False}
    for step in parameters.STEPS:
        told = {name: value for name, value in done.items() if name != step}
        said = parameters.conclude(context(told, {step: "why it stopped", "conclude": "x"}))
        assert said["stopped"] == f"{step}: why it stopped"
        assert parameters.conclude(context(told))["stopped"] == f"{step}: it did not finish; see its log."


def test_a_dry_run_needs_no_more_than_its_plan() -> None:
    told: dict[str, Any] = {step: {"facts": {}} for step in ("pin", "fetch", "scan", "analyze", "preflight")}
    assert parameters.conclude(context(told, dry_run=True)) == {"dry_run": True}
    assert parameters.conclude(context({}, {"pin": "no"}, dry_run=True))["stopped"] == "pin: no"
