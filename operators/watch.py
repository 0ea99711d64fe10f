"""Watch the models of a recipe: on its schedule, release what has a new commit, and say "nothing new" of the rest."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from operators.watched import commit_of, released_commit
from tasks.recipe import Recipe

FIRST_DAY = pendulum.datetime(2026, 1, 1, tz="UTC")


def watch_dag(recipe: Recipe) -> DAG:
    """Return the DAG `watch_<recipe>`: one mapped trigger for each model whose branch `main` moved."""
    with DAG(
        dag_id=f"watch_{recipe.name}",
        description=f"Releases every model of the recipe {recipe.name} that has a new commit.",
        schedule=recipe.schedule,
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        tags=["hallmark", "watch"],
        default_args={"owner": recipe.owner, "retries": 2, "retry_delay": timedelta(seconds=30)},
    ) as dag:

        @task
        def find_new() -> list[dict[str, Any]]:
            """Compare the Hub's commits with the last released ones."""
            conf = []
            for model in recipe.models:
                commit = commit_of(recipe, model)
                if commit == released_commit(recipe, model):
                    print(f"{model}: nothing new since {commit[:12]}")
                else:
                    print(f"{model}: new commit {commit[:12]}, to be released")
                    conf.append({"model": model, "revision": commit})
            return conf

        TriggerDagRunOperator.partial(
            task_id="release", trigger_dag_id=f"release_{recipe.name}", wait_for_completion=False
        ).expand(conf=find_new())
    return dag
