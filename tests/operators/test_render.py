"""A recipe's graph is whole when it is parsed: every task with its place, its slots and what it waits for."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from operators.model_task import GateTask, ModelTask
from operators.render import release_dag
from tasks import definitions
from tasks.contract import Needs
from tasks.formats.registry import RELEASE_TASKS, load_format, parse_target, target_names
from tasks.plan import proofs
from tasks.plan.bases import with_bases
from tasks.recipe import load_recipe
from tasks.settings import REPOSITORY
from tests.operators.conftest import MakeRecipe

STEPS = ("convert", "compare_weights", "evaluate", "benchmark", "gate")


def task(dag: DAG, task_id: str) -> ModelTask:
    found = dag.get_task(task_id)
    assert isinstance(found, ModelTask)
    return found


def upstream(dag: DAG, task_id: str) -> set[str]:
    return set(task(dag, task_id).upstream_task_ids)


def test_every_task_has_its_pool_queue_and_limits(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-f16", "gguf-q4_0", "onnx-fp32", timeout_hours=3))
    for found in dag.tasks:
        assert isinstance(found, ModelTask | EmptyOperator)
        assert found.execution_timeout == timedelta(hours=3) and found.retries == 2
        heavy = found.task_id == "reference" or (
            "." in found.task_id and found.task_id.rpartition(".")[2] not in ("gate", "judged")
        )
        if heavy:
            assert (found.pool, found.queue) == ("cpu", "cpu"), found.task_id
    assert {found.task_id for found in dag.tasks if found.pool == "release"} == {"register", "promote"}


def test_a_benchmark_is_alone_in_its_pool(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0"))
    slots = {found.task_id: found.pool_slots for found in dag.tasks}
    assert slots.pop("gguf-q8_0.benchmark") == 4
    assert task(dag, "gguf-q8_0.benchmark").threads == 3
    # Two tasks that more threads help run side by side.
    wide = ("gguf-q8_0.convert", "gguf-q8_0.evaluate", "gguf-q8_0.compare_weights", "reference")
    assert [slots.pop(name) for name in wide] == [2, 2, 2, 2]
    assert set(slots.values()) == {1}


def test_more_cores_here_than_slots_in_the_pool_make_no_task_that_can_never_start(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    recipe = make_recipe("gguf-q8_0")
    (tmp_path / "settings.toml").write_text(
        '[host]\ncores = 64\n[pools.cpu]\nslots = 8\nhost_slots = 4\nhardware = "a declared processor"\n'
    )
    dag = release_dag(recipe)
    slots = {found.task_id: found.pool_slots for found in dag.tasks if found.pool == "cpu"}
    assert slots["gguf-q8_0.benchmark"] == 4 and max(slots.values()) <= 8
    assert task(dag, "gguf-q8_0.benchmark").hardware == "a declared processor"


def test_the_tasks_of_pools_are_those_that_take_the_hosts_lock(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q4_k_m"))
    assert {task(dag, name).task for name in dag.task_ids if dag.get_task(name).pool == "cpu"} == definitions.POOLED


def test_a_target_for_a_gpu_waits_for_one(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, format = make_recipe("onnx-fp32"), load_format("onnx")
    needs = Needs(device="cuda")
    on_gpu = replace(
        format,
        makers={name: replace(maker, needs=needs) for name, maker in format.makers.items()},
        engines=[replace(engine, needs=needs) for engine in format.engines],
    )
    for module in (definitions, proofs):
        monkeypatch.setattr(module, "load_format", lambda name: on_gpu)
    dag = release_dag(recipe)
    for step in ("convert", "evaluate", "benchmark"):
        found = task(dag, f"onnx-fp32.{step}")
        assert (found.pool, found.queue, found.pool_slots) == ("gpu", "gpu", 1)


def test_a_target_is_converted_evaluated_benchmarked_and_gated(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("safetensors-bf16"))
    assert upstream(dag, "safetensors-bf16.convert") == {"preflight"}
    # It takes from the comparison whether the weights are the source's.
    assert upstream(dag, "safetensors-bf16.evaluate") == {"safetensors-bf16.compare_weights", "reference"}
    assert upstream(dag, "safetensors-bf16.benchmark") == {"safetensors-bf16.evaluate"}
    # It needs no engine, so it does not wait for the reference.
    assert upstream(dag, "safetensors-bf16.compare_weights") == {"safetensors-bf16.convert"}
    assert upstream(dag, "safetensors-bf16.gate") == {"safetensors-bf16.benchmark"}
    assert isinstance(task(dag, "safetensors-bf16.gate"), GateTask)
    assert upstream(dag, "register") == {"safetensors-bf16.gate"}
    assert upstream(dag, "reference") == {"evaluation_text"}


def test_a_target_made_in_two_ways_has_two_groups_and_one_base(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0", {"gguf-q8_0": {"as": "q8_0-weighed", "imatrix": True}}))
    assert upstream(dag, "gguf-q8_0.convert") == {"gguf-f16.convert"}
    assert upstream(dag, "q8_0-weighed.convert") == {"gguf-f16.convert", "gguf-imatrix.convert"}
    assert upstream(dag, "register") == {"gguf-q8_0.gate", "q8_0-weighed.gate"}


def test_a_calibrated_target_is_compared_with_its_control(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q4_k_m"))
    control = task(dag, "gguf-q4_k_m.convert_control")
    assert control.parameters == {"target": parse_target("gguf-q4_k_m", {"imatrix": False}).model_dump(mode="json")}
    assert (control.task, control.inputs, control.planned_target) == (
        "convert",
        {"gguf-f16": "gguf-f16.convert"},
        "gguf-q4_k_m",
    )
    # It needs no calibration, so it does not wait for one.
    assert upstream(dag, "gguf-q4_k_m.convert_control") == {"gguf-f16.convert"}
    compare = task(dag, "gguf-q4_k_m.compare_control")
    assert upstream(dag, "gguf-q4_k_m.compare_control") == {"gguf-q4_k_m.convert_control", "gguf-q4_k_m.evaluate"}
    assert compare.inputs == {
        "artifact": "gguf-q4_k_m.convert",
        "control": "gguf-q4_k_m.convert_control",
        "evaluation": "gguf-q4_k_m.evaluate",
        "reference": "reference",
    }
    # The gate cannot run without it.
    gate = task(dag, "gguf-q4_k_m.gate")
    assert gate.inputs["control"] == "gguf-q4_k_m.compare_control"
    assert "gguf-q4_k_m.compare_control" in upstream(dag, "gguf-q4_k_m.gate")


def test_a_target_without_calibration_or_without_a_control_is_compared_with_none(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0", "gguf-iq2_xxs", {"gguf-q4_0": {"imatrix": False}}, "onnx-int8"))
    assert not [name for name in dag.task_ids if "control" in name]
    assert all("control" not in task(dag, name).inputs for name in dag.task_ids if name.endswith(".gate"))


def test_a_control_is_made_once_and_compared_in_every_pool(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe({"gguf-q4_0": {"on": ["big", "cpu"]}})
    (tmp_path / "settings.toml").write_text("[host]\ncores = 4\n[pools.cpu]\nslots = 4\n[pools.big]\nslots = 8\n")
    dag = release_dag(recipe)
    assert [name for name in dag.task_ids if name.endswith("convert_control")] == ["gguf-q4_0.convert_control"]
    for pool in ("big", "cpu"):
        compare = task(dag, f"gguf-q4_0.{pool}.compare_control")
        assert (compare.pool, compare.proof) == (pool, ["big", "cpu"].index(pool))
        assert compare.inputs["evaluation"] == f"gguf-q4_0.{pool}.evaluate"
        assert task(dag, f"gguf-q4_0.{pool}.gate").inputs["control"] == f"gguf-q4_0.{pool}.compare_control"


def test_a_control_that_the_recipe_makes_anyway_is_the_same_work(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q4_0", {"gguf-q4_0": {"as": "plain", "imatrix": False}}))
    own, other = task(dag, "gguf-q4_0.convert_control"), task(dag, "plain.convert")
    assert (own.task, own.parameters, own.inputs) == (other.task, other.parameters, other.inputs)


def test_no_target_can_be_named_like_a_task_of_every_release(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q4_k_m"))
    assert {found.task_id for found in dag.tasks if "." not in found.task_id} == set(RELEASE_TASKS)


def test_the_line_from_the_hub_to_the_end(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("safetensors-bf16"))
    line = ("pin", "fetch", "scan", "analyze", "preflight")
    for before, after in pairwise(line):
        assert upstream(dag, after) == {before}
    assert upstream(dag, "report") == {"register"} and upstream(dag, "promote") == {"report"}
    assert upstream(dag, "conclude") == {"promote"} and dag.leaves == [dag.get_task("conclude")]
    # They see to it that a target which failed is told of, and that the run's colour is the truth.
    late = {found.task_id for found in dag.tasks if found.trigger_rule == "all_done"}
    assert late == {"register", "conclude"}


def test_a_gate_waits_for_the_verdict_of_its_base_whatever_it_is(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "onnx-int8"))
    for name in ("gguf-q8_0", "gguf-q4_k_m"):
        # q4_k_m is made from gguf-imatrix, too, which no engine runs and which is made from gguf-f16.
        others = {"gguf-q4_k_m.compare_control"} & {f"{name}.compare_control"}
        assert upstream(dag, f"{name}.gate") == {f"{name}.benchmark", "gguf-f16.judged"} | others
        assert task(dag, f"{name}.gate").optional_inputs == {"base:gguf-f16": "gguf-f16.gate"}
        # It runs only if its own evaluation did its work.
        assert task(dag, f"{name}.gate").trigger_rule == "all_success"
    # What was quantized with an importance matrix is compared with it.
    inputs = {name: task(dag, f"{name}.compare_weights").inputs for name in ("gguf-q8_0", "gguf-q4_k_m")}
    assert set(inputs["gguf-q8_0"]) == {"artifact", "snapshot", "analysis"}
    assert inputs["gguf-q4_k_m"]["gguf-imatrix"] == "gguf-imatrix.convert"
    judged = dag.get_task("gguf-f16.judged")
    # A gate that blocks is a failed task; Airflow runs no process for an empty task.
    assert isinstance(judged, EmptyOperator) and judged.trigger_rule == "all_done"
    assert set(judged.upstream_task_ids) == {"gguf-f16.gate"}
    # onnx-fp32 is made and is no target of this recipe, so it has no verdict.
    assert upstream(dag, "onnx-int8.gate") == {"onnx-int8.benchmark"}
    assert [name for name in dag.task_ids if name.endswith(".judged")] == ["gguf-f16.judged"]


def test_a_target_that_is_proven_in_several_pools_is_made_once(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe({"gguf-f16": {"on": ["big", "cpu"]}}, {"gguf-q8_0": {"on": ["absent"]}})
    (tmp_path / "settings.toml").write_text("[host]\ncores = 4\n[pools.cpu]\nslots = 4\n[pools.big]\nslots = 8\n")
    dag = release_dag(recipe)
    ids = [name for name in dag.task_ids if name.startswith("gguf-f16")]
    steps = [f"gguf-f16.{pool}.{step}" for pool in ("big", "cpu") for step in STEPS[2:]]
    assert sorted(ids) == sorted(["gguf-f16.convert", "gguf-f16.compare_weights", "gguf-f16.judged", *steps])
    for pool, slots in (("big", 8), ("cpu", 4)):
        benchmark = task(dag, f"gguf-f16.{pool}.benchmark")
        assert (benchmark.pool, benchmark.queue, benchmark.pool_slots) == (pool, pool, slots)
        assert task(dag, f"gguf-f16.{pool}.evaluate").inputs["artifact"] == "gguf-f16.convert"
    convert = task(dag, "gguf-f16.convert").parameters
    assert isinstance(convert, dict) and convert["target"]["on"] == [], "where it is proven is no part of its key"
    # A pool that is not declared here is no error of the recipe: the plan says why there is no proof.
    assert "gguf-q8_0.gate" in dag.task_ids and "gguf-q8_0.absent.gate" not in dag.task_ids
    assert set(task(dag, "gguf-q8_0.gate").optional_inputs.values()) == {"gguf-f16.big.gate", "gguf-f16.cpu.gate"}
    register = task(dag, "register").optional_inputs
    assert register["artifact:gguf-f16"] == "gguf-f16.convert" and "verdict:gguf-f16" not in register
    assert register["reference"] == "reference"
    assert register["verdict:gguf-f16.big"] == "gguf-f16.big.gate"
    assert {"gguf-f16.big.gate", "gguf-f16.cpu.gate"} <= upstream(dag, "register")
    dag.check_cycle()


def test_a_base_that_the_recipe_does_not_name_is_made_once_and_not_judged(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0", "gguf-q4_0", "onnx-int8"))
    ids = [found.task_id for found in dag.tasks]
    assert ids.count("gguf-f16.convert") == ids.count("onnx-fp32.convert") == 1
    assert not {f"{base}.{step}" for base in ("gguf-f16", "onnx-fp32") for step in STEPS[1:]} & set(ids)
    assert "gguf-f16.convert" in upstream(dag, "gguf-q8_0.convert") & upstream(dag, "gguf-q4_0.convert")
    assert "onnx-fp32.convert" in upstream(dag, "onnx-int8.convert")
    assert not any(name.startswith(("artifact:gguf-f16", "verdict:onnx-fp32")) for name in _register(dag))


def test_a_base_that_the_recipe_names_is_a_target_of_its_own(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0", "gguf-f16"))
    ids = [found.task_id for found in dag.tasks]
    assert len(ids) == len(set(ids))
    assert {f"gguf-f16.{step}" for step in STEPS} <= set(ids)
    assert {"artifact:gguf-f16", "verdict:gguf-f16"} <= set(_register(dag))


def test_a_base_is_the_same_work_in_every_recipe(make_recipe: MakeRecipe) -> None:
    one = release_dag(make_recipe("gguf-q8_0", name="one"))
    other = release_dag(make_recipe("gguf-q4_k_m", "gguf-f16", name="other", owner="others", timeout_hours=1))

    # All that a key is made of, so the second finds what the first has made, or waits while it is at it.
    def work(dag: DAG) -> object:
        base = task(dag, "gguf-f16.convert")
        above = {name: task(dag, task_id) for name, task_id in base.inputs.items()}
        return base.task, base.parameters, base.inputs, {name: (t.task, t.parameters) for name, t in above.items()}

    assert work(one) == work(other)


def test_texts_are_kept_only_where_they_are_used(make_recipe: MakeRecipe) -> None:
    assert "calibration_text" not in release_dag(make_recipe("gguf-q8_0")).task_ids


def _register(dag: DAG) -> list[str]:
    return list(task(dag, "register").optional_inputs)


def test_options_of_a_base_are_those_of_the_recipe(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("gguf-q4_k_m")
    names = [target.name for target in with_bases(recipe.targets)]
    assert names.index("gguf-f16") < names.index("gguf-imatrix") < names.index("gguf-q4_k_m")
    assert "calibration_text" in upstream(release_dag(recipe), "gguf-imatrix.convert")


@pytest.mark.parametrize("name", target_names())
def test_whatever_a_target_needs_is_upstream_of_it(make_recipe: MakeRecipe, name: str) -> None:
    recipe = make_recipe(name) if name != "gguf-imatrix" else make_recipe("gguf-q4_k_m")
    dag = release_dag(recipe)
    for found in dag.tasks:
        if not isinstance(found, ModelTask):
            continue
        above = {other.task_id for other in found.get_flat_relatives(upstream=True)}
        assert {*found.inputs.values(), *found.optional_inputs.values()} <= above, found.task_id
        if found.planned_target:
            assert "preflight" in above


@pytest.mark.parametrize("path", sorted((REPOSITORY / "dags" / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_our_own_recipes_render(path: Path) -> None:
    recipe = load_recipe(path)
    dag = release_dag(recipe)
    assert dag.dag_id == f"release_{recipe.name}" and dag.max_active_runs == 1
    assert dag.doc_md and all(name in dag.doc_md for name in recipe.target_names)
    dag.check_cycle()


def test_the_page_of_a_recipe_names_the_pools_of_its_proofs(make_recipe: MakeRecipe) -> None:
    page = release_dag(make_recipe({"gguf-q8_0": {"on": ["cpu", "gpu-l4"]}}, "onnx-fp32")).doc_md or ""
    assert "| gguf-q8_0 | llama.cpp, on cpu and gpu-l4 | passes |" in page
    assert "| onnx-fp32 | onnxruntime | passes |" in page


def test_a_benchmark_does_not_know_how_a_comparison_ends(make_recipe: MakeRecipe) -> None:
    dag = release_dag(make_recipe("gguf-q8_0"))
    benchmark = task(dag, "gguf-q8_0.benchmark").parameters
    assert isinstance(benchmark, dict) and "bounds" not in benchmark
