"""Watches the models of a recipe: on its schedule, releases each model that has a new commit."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, TaskGroup, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from croniter import croniter

from operators.credentials import enter_store
from operators.model_task import ModelTask
from operators.parameters import policy
from operators.results import pulled
from tasks.errors import HallmarkError, InvalidRecipe, TransientError
from tasks.recipe import Recipe
from tasks.release.current import last_released_commit
from tasks.store.open import open_store

UNENDED = ["queued", "running"]
"""The states of a run that has not ended; the runs of a DAG that is paused stay queued."""

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def watch_dag(recipe: Recipe) -> DAG:
    """Return the DAG `watch_<recipe>`, which pins each model, compares its commit, and triggers a release.

    Raises InvalidRecipe for a schedule that is no cron expression.
    """
    if not croniter.is_valid(recipe.schedule):
        raise InvalidRecipe(
            f"{recipe.name}.yaml: schedule: {recipe.schedule!r} is no cron expression such as '0 3 * * *'."
        )
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
        for model in recipe.models:
            _watch(recipe, model)
    return dag


def _watch(recipe: Recipe, model: str) -> None:
    group = model.replace("/", "--").replace(".", "_")
    released_by = f"release_{recipe.name}"
    # Two models' names may differ in a dot alone.
    with TaskGroup(group_id=group, add_suffix_on_collision=True, tooltip=model):
        pin = ModelTask(task_id="pin", task="pin", parameters={"repository": model, **policy(recipe)})

        @task
        def compare(**context: Any) -> dict[str, str]:
            """Return the commit to release and the id of the run that is to do so.

            Raises AirflowSkipException if the commit is released already, or if the run that was triggered for it last
            time has not ended: a release may take longer than the time between two looks, or its DAG may be paused.
            Raises AirflowFailException (no retry) or AirflowException (retry) if the store cannot be read.
            """
            instance = context["ti"]
            facts = pulled(context, pin.task_id)["facts"]
            commit = str(facts["commit"])
            # A model that was renamed on the Hub may have been released under its former name.
            if commit in _released(recipe, {facts["repository"], model}):
                _skip(f"{model}: nothing new since {commit[:12]}")
            runs = f"watch__{model.replace('/', '--')}__{commit[:12]}__"
            # With the index of a task that is not mapped, Airflow returns the latest value and not a list of all.
            last = instance.xcom_pull(task_ids=instance.task_id, key="run", include_prior_dates=True, map_indexes=-1)
            if str(last).startswith(runs) and instance.get_dr_count(released_by, run_ids=[last], states=UNENDED):
                _skip(f"{model}: the run {last} of {released_by}, which releases {commit[:12]}, has not ended")
            print(f"{model}: new commit {commit[:12]}, to be released")
            return {"commit": commit, "run": f"{runs}{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"}

        found: Any = compare()
        release = TriggerDagRunOperator(
            task_id="release",
            trigger_dag_id=released_by,
            trigger_run_id=found["run"],
            conf={"model": model, "revision": found["commit"]},
            # A retry finds the run that it triggered before.
            skip_when_already_exists=True,
        )
        pin >> found >> release


def _released(recipe: Recipe, names: Collection[str]) -> set[str | None]:
    """Return the last commit that the recipe released under each name of a model; None for one without a release."""
    try:
        enter_store()
        store = open_store()
        return {last_released_commit(store, name, recipe.name) for name in names}
    except TransientError as error:
        raise AirflowException(str(error)) from error
    except HallmarkError as error:
        raise AirflowFailException(str(error)) from error


def _skip(reason: str) -> NoReturn:
    """Raise AirflowSkipException, and print the reason: the page of the log does not show what Airflow does with it."""
    print(reason)
    raise AirflowSkipException(reason)
