"""A mistake ends the demo at once, with the reason, before anything is started; an answer that is missing does not."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import demo, stack
from deploy.local.airflow_api import AirflowApi
from tests.fixtures.scripted_server import AnsweringServer, answering


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def never(*_: object) -> None:
        raise AssertionError("the stack was started")

    monkeypatch.setattr(stack, "up", never)
    monkeypatch.setattr(demo, "RECIPES", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", *arguments])
    return demo.main()


def test_a_mistake_in_the_recipe_is_reported(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "mine.yaml").write_text("licences: []\n")
    assert run(monkeypatch, "--recipe", "mine") == 1
    assert capsys.readouterr().err.startswith("mine.yaml: 'description' is missing")


def test_a_recipe_that_does_not_exist_is_reported_with_the_nearest(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "standard.yaml").touch()
    assert run(monkeypatch, "--recipe", "standart") == 1
    assert capsys.readouterr().err == ("There is no recipe 'standart' in dags/recipes (did you mean 'standard'?).\n")


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("acme/x/y", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("https://huggingface.co/acme/tiny/tree/main", "acme/tiny"),
        ("huggingface.co/acme/tiny", "acme/tiny"),
        ("https://huggingface.co/acme", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ],
)
def test_a_name_that_no_model_has_is_reported_before_the_stack_is_started(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, meant: str
) -> None:
    assert run(monkeypatch, model) == 1
    assert capsys.readouterr().err == (
        f"{model!r} is not the name of a model; write it as the Hub does, owner/name: make demo MODEL={meant}\n"
    )


RUN = "manual__2026-11-30T13:24:04+00:00"


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    """An Airflow in which the run of the demo has succeeded; it answers as the test says."""
    monkeypatch.setattr(stack, "up", lambda *_: None)
    monkeypatch.setattr(demo, "addresses", lambda: "")
    monkeypatch.setattr(demo, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(AirflowApi, "wait_for_dag", lambda *_: None)
    monkeypatch.setattr(AirflowApi, "trigger", lambda *_: RUN)
    with answering() as server:
        api = AirflowApi(server.url, "admin", "x")
        api._client.headers["Authorization"] = "Bearer x"
        monkeypatch.setattr(stack, "airflow_api", lambda: api)
        yield server


def answer(path: str) -> tuple[int, dict[str, str], bytes]:
    if "/xcomEntries/" in path:
        if "/conclude/" in path and "/return_value" in path:
            return 200, {}, json.dumps({"value": {"facts": {"conclusion": "all passed"}}}).encode()
        return 404, {}, b"{}"
    if "/taskInstances" in path:
        return 200, {}, b'{"task_instances": [], "total_entries": 0}'
    return 200, {}, json.dumps({"dag_run_id": RUN, "state": "success"}).encode()


def test_an_answer_that_fails_three_times_does_not_end_the_demo(
    airflow: AnsweringServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release takes minutes to hours, and Airflow's database may be locked for a moment."""
    tries: dict[str, int] = {}

    def busy(request: object) -> tuple[int, dict[str, str], bytes]:
        path = str(getattr(request, "path", ""))
        tries[path] = tries.get(path, 0) + 1
        return (503, {}, b"") if tries[path] <= 3 else answer(path)

    airflow.answer = busy
    assert run(monkeypatch) == 0
    said = capsys.readouterr().out
    assert "OK: all passed" in said and set(tries.values()) == {4}
    assert "503; see the log of airflow-api. Trying again in 0 s." in said.replace("\n", " ")


def test_an_airflow_that_stays_away_ends_the_demo_with_the_address_of_the_run(
    airflow: AnsweringServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    airflow.answer = lambda _: (500, {}, b"")
    assert run(monkeypatch) == 1
    assert len(airflow.asked) == 4
    assert capsys.readouterr().err.endswith(
        f": 500; see the log of airflow-api. The run may still go on: {airflow.url}/dags/release_demo/runs/{RUN}\n"
    )
