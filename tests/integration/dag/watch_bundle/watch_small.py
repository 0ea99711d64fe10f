"""The DAG that watches a model, with a `pin` that takes the commit from the environment, and a DAG to trigger."""

import os
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from operators.model_task import ModelTask
from operators.watch import watch_dag
from tasks.recipe import Recipe
from tasks.settings import REPOSITORY


def _pinned(task: ModelTask, context: Any) -> dict[str, Any]:
    return {"artifact": None, "facts": {"repository": "acme/tales", "commit": os.environ["HALLMARK_TEST_COMMIT"]}}


content = yaml.safe_load(Path(os.environ["HALLMARK_TEST_RECIPE"]).read_text(encoding="utf-8"))
watched = {"name": "small", "models": ["acme/tales"], "schedule": "@daily"}
ModelTask.execute = _pinned  # type: ignore[assignment, method-assign]
watch = watch_dag(Recipe.model_validate({**content, **watched, "folder": REPOSITORY / "dags" / "recipes"}))
with DAG("release_small", schedule=None, params={"model": "", "revision": ""}) as release:
    EmptyOperator(task_id="released")
