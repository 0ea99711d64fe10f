"""A dry run ends with the plan: every task that preflight lets go skips itself, and says why."""

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.exceptions import AirflowSkipException

from operators.model_task import ModelTask
from operators.render import release_dag
from tasks.recipe import Recipe, load_recipe
from tasks.settings import REPOSITORY


class PlanOnly:
    """Stands for Airflow's task instance: preflight is all that has told anything."""

    def __init__(self, made: bool) -> None:
        self.made = made

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        assert task_ids == "preflight", f"{task_ids} was asked, though it was skipped"
        plan = {"made": self.made, "reason": "it needs a GPU, and this host has none"}
        return {"facts": {"targets": dict.fromkeys(("gguf-f16", "safetensors-bf16", "onnx-fp32"), plan)}}


def context(*, made: bool, dry_run: bool) -> dict[str, Any]:
    return {"ti": PlanOnly(made), "params": {"dry_run": dry_run, "force": False}, "run_id": "r1"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(REPOSITORY / "dags" / "recipes" / "demo.yaml")


def test_everything_right_after_preflight_skips_itself(recipe: Recipe) -> None:
    dag = release_dag(recipe)
    after = dag.get_task("preflight").downstream_list
    assert {task.task_id for task in after} >= {"evaluation_text", "calibration_text", "gguf-f16.convert"}
    for task in after:
        assert isinstance(task, ModelTask)
        with pytest.raises(AirflowSkipException, match="dry run ends with the plan"):
            task.execute(context(made=True, dry_run=True))


def test_what_comes_later_is_skipped_with_it(recipe: Recipe) -> None:
    dag = release_dag(recipe)
    for task in dag.tasks:
        if {"preflight", "evaluation_text"} & {upstream.task_id for upstream in task.get_flat_relatives(upstream=True)}:
            late = task.task_id in ("register", "conclude") or isinstance(task, EmptyOperator)
            assert task.trigger_rule == "all_success" or late


def test_a_target_that_is_not_made_tells_its_reason(recipe: Recipe) -> None:
    convert = release_dag(recipe).get_task("gguf-f16.convert")
    assert isinstance(convert, ModelTask)
    with pytest.raises(AirflowSkipException, match="gguf-f16 is not made: it needs a GPU"):
        convert.execute(context(made=False, dry_run=True))
