"""Airflow DAGs: every recipe in dags/recipes gives `release_<recipe>` and, with a schedule, `watch_<recipe>`."""

from pathlib import Path

from operators.invalid import invalid_dag
from operators.render import release_dag
from operators.watch import watch_dag
from tasks.errors import InvalidRecipe
from tasks.recipe import load_recipe

for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
    try:
        recipe = load_recipe(path)
        dags = [release_dag(recipe)] + ([watch_dag(recipe)] if recipe.schedule else [])
    except InvalidRecipe as error:
        dags = [invalid_dag(path.stem, str(error))]
    globals().update({dag.dag_id: dag for dag in dags})
