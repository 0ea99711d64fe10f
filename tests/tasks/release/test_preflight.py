"""The task preflight asks MLflow: a release that could not be registered ends before hours of work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.contract import TaskContext
from tasks.definitions import FIXED
from tasks.errors import InvalidRecipe
from tasks.formats.registry import parse_target
from tasks.plan.parameters import PreflightParameters
from tasks.pools import Pool
from tasks.release import preflight as module
from tasks.release.preflight import preflight
from tasks.release.registry import CLIENT_SETTINGS
from tests.fixtures.context import make_context
from tests.fixtures.scripted_server import AnsweringServer, answering

PARAMETERS = PreflightParameters(
    targets=(parse_target("gguf-f16"),),
    pools=(Pool.model_validate({"name": "cpu", "slots": 2, "memory_bytes": 1000, "hardware": "a processor"}),),
    disk_bytes=1,
    text_bytes=1,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    for name, value in CLIENT_SETTINGS.items():
        monkeypatch.setenv(name, value)
    with answering() as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[PreflightParameters]:
    """The parameters that were planned with."""
    asked: list[PreflightParameters] = []

    def plan(parameters: PreflightParameters, context: TaskContext) -> dict[str, object]:
        asked.append(parameters)
        return {"targets": {}}

    monkeypatch.setattr(module, "plan", plan)
    return asked


@pytest.mark.parametrize("dry_run", [False, True])
def test_mlflow_is_asked_when_the_plan_is_made(
    server: AnsweringServer, planned: list[PreflightParameters], tmp_path: Path, dry_run: bool
) -> None:
    parameters = PARAMETERS.model_copy(update={"dry_run": dry_run})
    server.answer = lambda _: (200, {}, b"{}")
    assert preflight(parameters, make_context(tmp_path / "one")) == {"targets": {}}
    server.answer = lambda _: (404, {}, b"<html>")
    with pytest.raises(InvalidRecipe, match="is not MLflow"):
        preflight(parameters, make_context(tmp_path / "two"))
    assert planned == [parameters] * 2 and len(server.asked) == 2


def test_the_task_has_the_address_and_a_connection_that_is_missing_is_named(
    planned: list[PreflightParameters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FIXED["preflight"].access == ("registry",)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InvalidRecipe, match="set the Airflow connection 'hallmark_mlflow'"):
        preflight(PARAMETERS, make_context(tmp_path / "context"))
