"""Makes the DAGs of every recipe in dags/recipes: `release_<recipe>`, and `watch_<recipe>` if it has a schedule."""

from pathlib import Path

from airflow.sdk import get_parsing_context

from operators.invalid_recipe import invalid_dag
from operators.render import release_dag
from operators.watch import watch_dag
from tasks.errors import InvalidRecipe
from tasks.recipe import load_recipe

# A task's own process parses this file, too, and needs one DAG of all of them.
wanted = get_parsing_context().dag_id

# An editor keeps its locks in files that begin with a dot.
for path in sorted((Path(__file__).parent / "recipes").glob("[!.]*.yaml")):
    try:
        recipe = load_recipe(path)
        if wanted not in (None, f"release_{recipe.name}", f"watch_{recipe.name}"):
            continue
        dags = [release_dag(recipe)] + ([watch_dag(recipe)] if recipe.schedule else [])
    except InvalidRecipe as error:
        dags = [invalid_dag(path.stem, str(error))]
    globals().update({dag.dag_id: dag for dag in dags})
