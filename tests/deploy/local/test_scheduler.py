"""A scheduler that starts knows that the one before it is dead."""

import json
import subprocess
import sys
from pathlib import Path

from tasks.settings import REPOSITORY

# With a table of jobs only: what `airflow version` does not need would take half a minute to make.
SCRIPT = """
import json, sys
from airflow import settings
from airflow.jobs.job import Job
from airflow.utils.session import create_session
from deploy.local import scheduler

Job.__table__.create(settings.engine)
with create_session() as session:
    for kind, state in (("SchedulerJob", "running"), ("SchedulerJob", "success"), ("TriggererJob", "running")):
        job = Job()
        job.job_type, job.state = kind, state
        session.add(job)
sys.argv[1:] = ["version"]
scheduler.main()
with create_session() as session:
    print(json.dumps([[job.job_type, job.state] for job in session.query(Job).order_by(Job.id)]))
"""


def test_a_killed_schedulers_claim_to_run_is_taken_back_and_airflow_runs(tmp_path: Path) -> None:
    variables = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "PYTHONPATH": str(REPOSITORY),
    }
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 0, told.stderr
    version, jobs = told.stdout.splitlines()[-2:]
    assert version.startswith("3.")
    assert json.loads(jobs) == [["SchedulerJob", "failed"], ["SchedulerJob", "success"], ["TriggererJob", "running"]]
