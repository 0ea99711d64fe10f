"""A watched model is pinned, compared and released; one model's trouble is not another's."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import XComArg
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from pydantic import TypeAdapter

from operators.invalid_recipe import invalid_dag
from operators.watch import watch_dag
from tasks.errors import CredentialsExpired, InvalidRecipe, StoreUnavailable
from tasks.release.current import Current, Promoted, write_current
from tasks.release.record import ReleaseId
from tasks.store.local import LocalStore
from tests.operators.conftest import MakeRecipe

NEW, OLD = "2" * 40, "1" * 40
RUN = "watch__acme--a__222222222222__"


class Watching:
    """Stands for Airflow's task instance of `compare`.

    last: the run that the last look triggered, or None.
    unended: the runs of the release DAG that are queued or running.
    """

    task_id = "acme--a.compare"

    def __init__(self, last: str | None = None, unended: tuple[str, ...] = ()) -> None:
        self._last, self._unended = last, unended

    def xcom_pull(self, task_ids: str, key: str = "return_value", **asked: Any) -> Any:
        if key == "run":
            assert task_ids == self.task_id
            assert asked == {"include_prior_dates": True, "map_indexes": -1}, "the latest value of all runs"
            return self._last
        assert task_ids == "acme--a.pin"
        return {"facts": {"repository": "Acme/A", "commit": NEW}}

    def get_dr_count(self, dag_id: str, run_ids: list[str], states: list[str]) -> int:
        assert dag_id == "release_tested" and states == ["queued", "running"]
        return sum(run in self._unended for run in run_ids)


def test_models_are_watched_apart_on_the_recipes_schedule(make_recipe: MakeRecipe) -> None:
    dag = watch_dag(make_recipe("gguf-q8_0", models=["acme/a", "acme/b.2"], schedule="0 3 * * *"))
    assert dag.dag_id == "watch_tested" and not dag.catchup and dag.max_active_runs == 1
    for group in ("acme--a", "acme--b_2"):
        above = {found.task_id for found in dag.get_task(f"{group}.release").get_flat_relatives(upstream=True)}
        assert above == {f"{group}.pin", f"{group}.compare"}
    release: Any = dag.get_task("acme--a.release")
    assert release.trigger_dag_id == "release_tested" and release.skip_when_already_exists
    assert release.conf == {"model": "acme/a", "revision": compared(dag)["commit"]}
    assert release.trigger_run_id == compared(dag)["run"]


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
    compare = watched(make_recipe)
    if released == NEW:
        with pytest.raises(AirflowSkipException, match="acme/a: nothing new since 222222222222"):
            compare(ti=Watching())
        return
    found = compare(ti=Watching())
    assert found["commit"] == NEW and found["run"].startswith(RUN)
    TypeAdapter(ReleaseId).validate_python(found["run"])


def watched(make_recipe: MakeRecipe) -> Callable[..., dict[str, str]]:
    """Return the function of the task `compare`."""
    dag = watch_dag(make_recipe("gguf-q8_0", models=["acme/a"], schedule="@daily"))
    compare: Any = dag.get_task("acme--a.compare")
    function: Callable[..., dict[str, str]] = compare.python_callable
    return function


def compared(dag: Any) -> Any:
    """Return what stands in the graph for what `compare` returns."""
    return XComArg(dag.get_task("acme--a.compare"))


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")


@pytest.mark.usefixtures("empty_store")
def test_a_commit_whose_release_has_not_ended_is_not_released_twice(make_recipe: MakeRecipe) -> None:
    """The release takes longer than the time between two looks, or its DAG is paused."""
    last = f"{RUN}2026-11-30T01:00:00.000000"
    with pytest.raises(AirflowSkipException, match=f"the run {last} of release_tested, which releases 2+, has not end"):
        watched(make_recipe)(ti=Watching(last, unended=(last,)))


@pytest.mark.usefixtures("empty_store")
def test_a_commit_whose_release_ended_and_failed_is_tried_again(make_recipe: MakeRecipe) -> None:
    last = f"{RUN}2026-11-30T01:00:00.000000"
    found = watched(make_recipe)(ti=Watching(last))
    assert found["run"].startswith(RUN) and found["run"] != last


@pytest.mark.usefixtures("empty_store")
def test_a_newer_commit_does_not_wait_for_the_release_of_the_last_one(make_recipe: MakeRecipe) -> None:
    last = "watch__acme--a__111111111111__2026-11-30T01:00:00.000000"
    assert watched(make_recipe)(ti=Watching(last, unended=(last,)))["commit"] == NEW


@pytest.mark.usefixtures("empty_store")
def test_the_id_of_the_run_is_a_releases_for_the_longest_name_too(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = f"{'o' * 96}/{'n' * 96}"
    dag = watch_dag(make_recipe("gguf-q8_0", models=[longest], schedule="@daily"))
    compare: Any = next(task for task in dag.tasks if task.task_id.endswith(".compare"))
    monkeypatch.setattr("operators.watch.pulled", lambda *_: {"facts": {"repository": longest, "commit": NEW}})
    instance = SimpleNamespace(task_id=compare.task_id, xcom_pull=lambda **_: None)
    TypeAdapter(ReleaseId).validate_python(compare.python_callable(ti=instance)["run"])


@pytest.mark.parametrize(
    ("error", "raised"),
    [(StoreUnavailable("it is away."), AirflowException), (CredentialsExpired("get new ones."), AirflowFailException)],
)
def test_a_store_that_cannot_be_read_is_asked_again_only_if_that_helps(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("operators.watch.last_released_commit", fail)
    with pytest.raises(raised, match=f"^{error}$") as found:
        watched(make_recipe)(ti=Watching())
    assert type(found.value) is raised


def test_a_schedule_that_is_no_cron_expression_is_refused(make_recipe: MakeRecipe) -> None:
    with pytest.raises(InvalidRecipe, match=r"^tested\.yaml: schedule: 'every day' is no cron expression such as '0 3"):
        watch_dag(make_recipe("gguf-q8_0", models=["acme/a"], schedule="every day"))


def test_a_recipe_that_cannot_be_read_shows_why_in_a_dag_of_its_own() -> None:
    dag = invalid_dag("my recipe", "my recipe.yaml: targets: There is no target 'x'.")
    assert dag.dag_id == "release_my-recipe" and dag.schedule is None
    assert "There is no target 'x'" in (dag.doc_md or "") and "There is no target" in (dag.description or "")
    shown = f"{dag.doc_md} {dag.description} {dag.tags}"
    assert "recipe is invalid" not in shown and "nvalid recipe" not in shown, "it may be settings.toml"
    task: Any = dag.tasks[0]
    pushed: dict[str, str] = {}
    with pytest.raises(AirflowFailException, match="There is no target 'x'"):
        task.python_callable(ti=SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})))
    assert pushed == {"failure": "my recipe.yaml: targets: There is no target 'x'."}, "the demo shows it"
