"""A scheduler that starts knows that the one before it is dead."""

import json
import subprocess
import sys

import pytest

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
    jobs = [[job.job_type, job.state] for job in session.query(Job).order_by(Job.id)]
print(json.dumps({"jobs": jobs, "boto3": "boto3" in sys.modules}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the lines that the script writes."""
    tmp_path = tmp_path_factory.mktemp("airflow")
    variables = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_killed_schedulers_claim_to_run_is_taken_back_and_airflow_runs(told: list[str]) -> None:
    assert told[-2].startswith("3.")
    jobs = json.loads(told[-1])["jobs"]
    assert jobs == [["SchedulerJob", "failed"], ["SchedulerJob", "success"], ["TriggererJob", "running"]]


def test_the_processes_of_tasks_inherit_what_the_store_needs(told: list[str]) -> None:
    assert json.loads(told[-1])["boto3"]
