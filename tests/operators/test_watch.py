"""A watched model is pinned, compared and released; one model's trouble is not another's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from operators.invalid_recipe import invalid_dag
from operators.watch import watch_dag
from tasks.release.current import Current, Promoted, write_current
from tasks.store.local import LocalStore
from tests.operators.conftest import MakeRecipe

NEW, OLD = "2" * 40, "1" * 40


def test_models_are_watched_apart_on_the_recipes_schedule(make_recipe: MakeRecipe) -> None:
    dag = watch_dag(make_recipe("gguf-q8_0", models=["acme/a", "acme/b.2"], schedule="0 3 * * *"))
    assert dag.dag_id == "watch_tested" and not dag.catchup and dag.max_active_runs == 1
    for group in ("acme--a", "acme--b_2"):
        above = {found.task_id for found in dag.get_task(f"{group}.release").get_flat_relatives(upstream=True)}
        assert above == {f"{group}.pin", f"{group}.compare"}
    release: Any = dag.get_task("acme--a.release")
    assert release.trigger_dag_id == "release_tested"


def test_models_whose_names_differ_in_a_dot_are_watched_apart(make_recipe: MakeRecipe) -> None:
    models = ["acme/tiny.chat", "acme/tiny_chat"]
    dag = watch_dag(make_recipe("gguf-q8_0", models=models, schedule="@daily"))
    pins: list[Any] = [dag.get_task(f"{group}.pin") for group in ("acme--tiny_chat", "acme--tiny_chat__1")]
    assert [pin.parameters["repository"] for pin in pins] == models


@pytest.mark.parametrize("name", ["Acme/A", "acme/a"])
@pytest.mark.parametrize("released", [None, OLD, NEW])
def test_only_a_new_commit_is_released(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: str | None, name: str
) -> None:
    """Released as the Hub calls the model now, or as the recipe does."""
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    if released:
        promoted = {
            "tested": Promoted(release_id="run", commit=released),
            "another": Promoted(release_id="x", commit=NEW),
        }
        write_current(LocalStore(tmp_path / "store"), Current(repository=name, recipes=promoted))
    dag = watch_dag(make_recipe("gguf-q8_0", models=["acme/a"], schedule="@daily"))
    compare: Any = dag.get_task("acme--a.compare")

    class Told:
        def xcom_pull(self, task_ids: str) -> dict[str, Any]:
            assert task_ids == "acme--a.pin"
            return {"facts": {"repository": "Acme/A", "commit": NEW}}

    if released == NEW:
        with pytest.raises(AirflowSkipException, match="acme/a: nothing new since 222222222222"):
            compare.python_callable(ti=Told())
    else:
        assert compare.python_callable(ti=Told()) == NEW


def test_a_recipe_that_cannot_be_read_shows_why_in_a_dag_of_its_own() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    dag = invalid_dag("my recipe", "my recipe.yaml: targets: There is no target 'x'.")
    assert dag.dag_id == "release_my-recipe" and dag.schedule is None
    assert "There is no target 'x'" in (dag.doc_md or "") and "There is no target" in (dag.description or "")
    task: Any = dag.tasks[0]
    pushed: dict[str, str] = {}
    with pytest.raises(AirflowFailException, match="There is no target 'x'"):
        task.python_callable(ti=SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})))
    assert pushed == {"failure": "my recipe.yaml: targets: There is no target 'x'."}, "the demo shows it"
