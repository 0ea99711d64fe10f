"""The button of the task `report`: it survives serialization, and leads to the release's run."""

from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from operators import report_task
from operators.render import release_dag
from operators.report_task import ReleaseLink, ReportTask
from tasks.recipe import load_recipe
from tasks.settings import REPOSITORY


class Registered:
    """Stands for Airflow's task instance: register told this run."""

    def __init__(self, run: str | None) -> None:
        self.run = run

    def xcom_pull(self, task_ids: str) -> Any:
        assert task_ids == "register"
        return {"facts": {"mlflow_run": self.run}}


def report() -> ReportTask:
    return ReportTask(task_id="report", task="report", parameters={})


def test_the_link_leads_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_task, "registry_environment", lambda: {"MLFLOW_TRACKING_URI": "http://registry:5000"})
    task, without = report(), report()
    task.conclude({}, {"ti": Registered("abc")})
    assert ReleaseLink().get_link(task, ti_key=None) == "http://registry:5000/#/runs/abc"
    without.conclude({}, {"ti": Registered(None)})
    assert ReleaseLink().get_link(without, ti_key=None) == ""


def test_airflow_shows_it() -> None:
    dag = release_dag(load_recipe(REPOSITORY / "dags" / "recipes" / "demo.yaml"))
    known = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("report")
    assert known.extra_links == ["Release in MLflow"]
