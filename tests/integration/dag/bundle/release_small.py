"""A DAG file of Airflow as dags/release.py is one, with a recipe that the test chose and the demo's texts."""

import os
from pathlib import Path

import yaml

from operators.render import release_dag
from tasks.recipe import Recipe
from tasks.settings import REPOSITORY

content = yaml.safe_load(Path(os.environ["HALLMARK_TEST_RECIPE"]).read_text(encoding="utf-8"))
dag = release_dag(Recipe.model_validate({**content, "name": "small", "folder": REPOSITORY / "dags" / "recipes"}))
for task in dag.tasks:
    task.retries = int(os.environ.get("HALLMARK_TEST_RETRIES", task.retries or 0))
