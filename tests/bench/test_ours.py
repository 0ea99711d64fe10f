"""The benchmark runs the tasks of a release one by one; each gets the inputs that the release's graph gives it."""

import shutil
from pathlib import Path
from typing import cast

import pytest
from airflow.sdk import DAG

from bench.ours import Ours
from bench.places import Places
from bench.stack import Stack
from bench.texts import write_texts
from operators.model_task import ModelTask
from operators.render import release_dag
from tasks.settings import REPOSITORY

STEPS = {"calibration": "calibration_text", "evaluation-text": "evaluation_text"}
"""Names of the benchmark's steps that are not those of the graph's tasks."""


@pytest.fixture
def ours(tmp_path: Path) -> Ours:
    recipes = tmp_path / "tree" / "dags" / "recipes"
    shutil.copytree(REPOSITORY / "dags" / "recipes" / "texts", recipes / "texts")
    write_texts(recipes / "texts")
    shutil.copyfile(REPOSITORY / "bench" / "recipes" / "bench.yaml", recipes / "bench.yaml")
    places = Places(tmp_path)
    return Ours(places, cast(Stack, None), tmp_path / "home")


def graph_name(step: str) -> str:
    task, _, target = step.partition(":")
    return f"{target}.{task}" if target else STEPS.get(task, task)


def graph_inputs(dag: DAG, step: str) -> dict[str, str]:
    found = dag.get_task(graph_name(step))
    assert isinstance(found, ModelTask)
    return found.inputs


def test_each_step_has_the_inputs_that_the_graph_gives_it(ours: Ours) -> None:
    dag = release_dag(ours.recipe)
    steps = ["analyze", "reference"]
    for target in ours.recipe.target_names:
        steps += [f"{task}:{target}" for task in ("convert", "compare_weights", "evaluate", "benchmark")]
    for step in steps:
        _, inputs = ours._spec(*step.partition(":")[::2])
        assert {name: graph_name(maker) for name, maker in inputs.items()} == graph_inputs(dag, step), step
