"""What a person writes into the form, or a publisher into a model, is data wherever it ends: never a program."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import ParamValidationError

from operators.invalid_recipe import invalid_dag
from operators.local_job import LocalJob
from operators.model_task import ModelTask
from operators.render import release_dag
from operators.trigger_form import release_form
from operators.watch import watch_dag
from tasks.contract import Spec
from tasks.errors import InvalidRecipe
from tasks.execution import ProcessContext, prepare
from tasks.recipe import Recipe
from tasks.store.local import LocalStore
from tests.operators.airflow_context import context
from tests.operators.conftest import MakeRecipe

HOSTILE = [
    "{{ conn.hallmark_store.password }}",
    "{{ var.value.secret }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b/../../c",
    "$(touch ran)",
    "`touch ran`",
    "a/b; touch ran",
    "a/b && touch ran",
    "--config=/etc/passwd",
    "a/b' OR '1'='1",
    "a/b'; DROP TABLE dag_run; --",
    "a/b\n",
    "a/b\nINFO - all gates passed",
    "a/\x1b[2Jb",
    "<script>alert(1)</script>",
    "a/b?x=1#y",
    "a/b%2f..%2fc",
    "a/b\0",
    "\u202ea/b",
    "a/" + "b" * 500,
]
GATE = {"metric": "kld_mean", "maximum": 0.05, "reason": "{{ var.value.secret }} in a reason"}


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe("gguf-q8_0", models=["acme/tiny"], schedule="@daily", gates=[GATE])


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["model", "targets"])
def test_the_form_takes_none_of_it(recipe: Recipe, field: str, value: str) -> None:
    form: dict[str, Param] = release_form(recipe)
    with pytest.raises(ParamValidationError):
        form[field].resolve([value] if field == "targets" else value)


# A path upwards is a name that git does not have: it is quoted in the address, and the Hub knows no such revision.
@pytest.mark.parametrize("value", [value for value in HOSTILE if value != "a/b/../../c"])
def test_a_revision_is_spelled_as_git_spells(recipe: Recipe, value: str) -> None:
    with pytest.raises(ParamValidationError):
        release_form(recipe)["revision"].resolve(value)


@pytest.mark.parametrize("value", HOSTILE)
def test_where_the_form_was_passed_by_the_task_refuses_it_in_a_sentence(tmp_path: Path, value: str) -> None:
    parameters = {"repository": value, "revision": "main", "licences": ["mit"]}
    with pytest.raises(InvalidRecipe, match="has a wrong parameter: repository: ") as refused:
        prepare(Spec(task="pin", parameters=parameters), LocalStore(tmp_path))
    assert str(refused.value).isprintable()


def test_airflow_renders_no_field_that_holds_what_somebody_wrote(recipe: Recipe) -> None:
    dags: list[DAG] = [release_dag(recipe), watch_dag(recipe), invalid_dag("x", "{{ var.value.secret }} is no target")]
    for dag in dags:
        for task in dag.tasks:
            if isinstance(task, ModelTask):
                assert tuple(task.template_fields) == ()
            rendered = {name: getattr(task, name, None) for name in task.template_fields}
            assert "{{" not in repr(rendered) and "{%" not in repr(rendered), task.task_id


def test_what_airflow_renders_of_a_task_stays_as_it_was_written() -> None:
    given = {"repository": HOSTILE[0], "nested": [HOSTILE[1]]}
    with DAG(dag_id="x"):
        task = ModelTask(task_id="t", task="pin", parameters=given, inputs={"snapshot": HOSTILE[0]})
    rendered: Any = context(model=HOSTILE[0])
    task.render_template_fields(rendered)
    assert task.parameters == given and task.inputs == {"snapshot": HOSTILE[0]}


def test_what_was_written_is_no_part_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    start = subprocess.Popen

    def watched(command: list[Any], **options: Any) -> Any:
        commands.append([str(part) for part in command])
        assert not options.get("shell")
        return start([sys.executable, "-c", ""], **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    spec = Spec(task="pin", parameters={"repository": HOSTILE[6], "revision": HOSTILE[7], "licences": HOSTILE})
    job = LocalJob(tmp_path / "job")
    job.submit(Path(sys.executable), spec, {"PATH": "/usr/bin:/bin"})
    job.wait(lambda line: None)
    assert commands and not any(value in part for command in commands for part in command for value in HOSTILE)


def test_a_line_of_the_log_stays_one_line_that_a_terminal_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: Any = ProcessContext({}, tmp_path, tmp_path, 1, "", LocalStore(tmp_path), cache=None)  # type: ignore[arg-type]
    made.progress("architecture \x1b[2J\x1b]0;owned\x07 of \ud800 \u202e")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.rstrip("\n").isprintable() and r"\x1b[2J" in said
