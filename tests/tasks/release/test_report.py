"""The report reaches its two places: beside the release record, and the release's run in MLflow."""

from pathlib import Path
from types import SimpleNamespace

import mlflow.artifacts
import pytest
from mlflow import MlflowClient

from tasks.release import usage
from tests.tasks.release.releases import Maker

pytestmark = pytest.mark.servers


def test_the_report_lies_beside_the_record_and_in_the_run(
    maker: Maker, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The maker's targets are of no format, so no engine says how to use them.
    monkeypatch.setattr(usage, "load_format", lambda name: SimpleNamespace(name=name, engines=()))
    facts, context = maker.register("r1", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    told, reported = maker.report(context)
    written = (reported.output / "report.html").read_bytes()
    assert told["report"] == facts["release"].replace(".json", ".html")
    assert maker.store.get_bytes(told["report"]) == written
    fetched = mlflow.artifacts.download_artifacts(
        run_id=facts["mlflow_run"], artifact_path="report.html", dst_path=str(tmp_path)
    )
    assert Path(fetched).read_bytes() == written
    page = written.decode()
    assert "toy-bad" in page and "stays champion" not in page
    note = client.get_run(facts["mlflow_run"]).data.tags["mlflow.note.content"]
    assert "| toy-bad |" in note

    # An unchanged release has a report of its own in the store, and leaves the run's as it is.
    maker.promote(context)
    again, second = maker.register("r2", {"toy-good": "hello", "toy-bad": "hullo"}, klds={"toy-bad": 0.2})
    assert again["unchanged_since"] == "r1"
    other, _ = maker.report(second)
    assert b"Nothing new" in maker.store.get_bytes(other["report"])
    fetched = mlflow.artifacts.download_artifacts(
        run_id=facts["mlflow_run"], artifact_path="report.html", dst_path=str(tmp_path)
    )
    assert Path(fetched).read_bytes() == written
