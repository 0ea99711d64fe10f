"""Run the DAG `watch_small` once per commit, without a scheduler, and tell how it ended and which runs it triggered.

    python look.py BUNDLE RESULTS COMMIT...

The word `end` in place of a commit ends the runs that were triggered before, as failed.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from sqlalchemy import select, update

RELEASES = DagRun.dag_id == "release_small"


def look(bundle: Path, commit: str, day: int) -> dict[str, Any]:
    """Return the state of `compare`, and the ids and revisions of all runs that were triggered so far."""
    os.environ["HALLMARK_TEST_COMMIT"] = commit
    dag = DagBag(bundle).dags["watch_small"]
    ended = dag.test(logical_date=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day))
    states = {task.task_id.partition(".")[2]: str(task.state) for task in ended.get_task_instances()}
    assert settings.Session is not None
    runs = settings.Session().scalars(select(DagRun).where(RELEASES).order_by(DagRun.id))
    return {"states": states, "runs": {run.run_id: (run.conf or {})["revision"] for run in runs}}


def end() -> None:
    """End all releases."""
    assert settings.Session is not None
    session = settings.Session()
    session.execute(update(DagRun).where(RELEASES).values(state="failed"))
    session.commit()


if __name__ == "__main__":
    results = []
    for day, given in enumerate(sys.argv[3:]):
        if given == "end":
            end()
        else:
            results.append(look(Path(sys.argv[1]), given, day))
    Path(sys.argv[2]).write_text(json.dumps(results))
