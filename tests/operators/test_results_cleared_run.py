"""Whatever task of a run is cleared and fails anew: nothing that was made before it counts for what follows from it."""

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from operators import report_task
from operators.model_task import ModelTask
from operators.render import release_dag
from tasks.contract import Failure, Result, Spec
from tasks.model import digest_of
from tasks.plan.bases import with_bases
from tasks.plan.proofs import planned_proofs
from tasks.pools import declared_pools
from tasks.recipe import Recipe
from tests.operators.airflow_context import TaskInstance, context
from tests.operators.conftest import MakeRecipe

TARGETS = ("gguf-f16", "gguf-q4_k_m", "onnx-int8")

STEPS = ["pin", "fetch", "scan", "analyze", "preflight"]


class Run:
    """A run in Airflow: it keeps results by task, and removes those of a task when the task starts."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.dag: DAG = release_dag(recipe)
        self.states: dict[str, str] = {}
        self.told: dict[tuple[str, str], Any] = {}
        self.specs: dict[str, Spec] = {}
        self.commit = "1" * 40

    def play(self, first: str = "pin", failing: str | None = None) -> None:
        """Run a task and all that follow, after a clear where they ran before."""
        self.specs.clear()
        again = {first, *(task.task_id for task in self.dag.get_task(first).get_flat_relatives(upstream=False))}
        for task_id in again:
            self.states.pop(task_id, None)
        for task in self._in_order():
            if task.task_id in again:
                self._run(task, failing)

    def _in_order(self) -> list[Any]:
        """Return all tasks, each after those that it waits for."""
        return sorted(self.dag.tasks, key=lambda task: len(task.get_flat_relatives(upstream=True)))

    def _run(self, task: Any, failing: str | None) -> None:
        earlier = {self.states[task_id] for task_id in task.upstream_task_ids}
        if task.trigger_rule == "all_success" and earlier - {"success"}:
            failed = earlier & {"failed", "upstream_failed"}
            self.states[task.task_id] = "upstream_failed" if failed else "skipped"
            return
        self.told = {place: value for place, value in self.told.items() if place[0] != task.task_id}
        self.states[task.task_id] = "success" if not isinstance(task, ModelTask) else self._execute(task, failing)

    def _execute(self, task: ModelTask, failing: str | None) -> str:
        instance = TaskInstance()
        instance._told = {(key, task_id): value for (task_id, key), value in self.told.items()}
        given = {**context(targets=list(self.recipe.target_names)), "ti": instance}
        task.__dict__["_result"] = self._result(task, failing)
        try:
            instance.xcom_push("return_value", task.execute(given))
            state = "success"
        except AirflowSkipException:
            state = "skipped"
        except AirflowException:
            state = "failed"
        self.told |= {(task.task_id, key): value for key, value in instance.pushed.items()}
        return state

    def _result(self, task: ModelTask, failing: str | None) -> Callable[[Any], Result]:
        def result(given: Any) -> Result:
            spec = self.specs[task.task_id] = task._spec(given)
            if task.task_id == failing:
                return Result(failure=Failure(kind="terminal", error="Refused", message="planted"))
            facts = self._facts(task.task_id, spec)
            return Result(artifact=digest_of([task.task_id, self.commit, spec.inputs]), facts=facts)

        return result

    def _facts(self, task_id: str, spec: Spec) -> dict[str, Any]:
        source = {"repository": "acme/tiny", "licence": "mit"}
        facts: dict[str, dict[str, Any]] = {
            "pin": source | {"commit": self.commit},
            "fetch": source | {"commit": spec.parameters.get("commit")},
            "analyze": {"parameters": 1_000_000},
            "preflight": {"targets": {target.name: _planned(target) for target in with_bases(self.recipe.targets)}},
            "register": {"mlflow_run": None},
        }
        gate = {"target": task_id, "passed": True, "reason": "all passed"}
        return gate if task_id.endswith(".gate") else facts.get(task_id, {})


def _planned(target: Any) -> dict[str, Any]:
    prediction = {"size_bytes": 1, "memory_bytes": 1, "disk_bytes": 1}
    proofs = [proof.model_dump() for proof in planned_proofs(target, declared_pools())]
    return {"made": True, "reason": "chosen", "proofs": proofs, **prediction}


@pytest.fixture
def run(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has ended well."""
    monkeypatch.setattr(report_task, "registry_environment", dict)
    run = Run(make_recipe(*TARGETS))
    run.play()
    assert set(run.states.values()) == {"success"}
    assert all(why is None and f"verdict:{name}" in inputs(run) for name, why in proofs(run).items())
    return run


def proofs(run: Run) -> dict[str, str | None]:
    """Return why the targets have no verdict, as register heard it."""
    targets = run.specs["register"].parameters["targets"]
    return {target["target"]["name"]: target["proofs"][0]["failure"] for target in targets}


def inputs(run: Run) -> dict[str, str]:
    """Return what register was given."""
    return run.specs["register"].inputs


@pytest.mark.parametrize(("first", "failing"), list(combinations_with_replacement(STEPS, 2)))
def test_nothing_is_registered_if_a_step_before_the_targets_fails(run: Run, first: str, failing: str) -> None:
    run.commit = "2" * 40
    run.play(first, failing)
    assert run.states["register"] == "skipped" and "register" not in run.specs
    assert run.specs["conclude"].parameters["stopped"] == f"{failing}: planted"


def test_no_verdict_of_before_counts_behind_a_task_that_failed(run: Run) -> None:
    before = inputs(run)
    tasks = [task.task_id for task in run.dag.get_task("register").get_flat_relatives(upstream=True)]
    failing = [task for task in tasks if task not in STEPS and not task.endswith(".judged")]
    assert len(failing) > 20
    lost_by: dict[str, set[str]] = {}
    for task_id in failing:
        run.play(task_id, task_id)
        lost_by[task_id] = {name for name in TARGETS if run.states[f"{name}.gate"] != "success"}
        for name, why in proofs(run).items():
            lost = name in lost_by[task_id]
            assert (f"verdict:{name}" in inputs(run)) != lost, (task_id, name)
            assert str(why).endswith(": planted") if lost else why is None, (task_id, name)
        run.play(task_id)
        assert inputs(run) == before, "after one more clear all is as it was"
    assert lost_by["reference"] == lost_by["evaluation_text"] == set(TARGETS)
    assert lost_by["gguf-f16.evaluate"] == {"gguf-f16"}, "without its verdict, what is made from it is judged again"
    assert lost_by["gguf-q4_k_m.convert_control"] == {"gguf-q4_k_m"}
