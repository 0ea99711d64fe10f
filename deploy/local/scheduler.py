"""Runs Airflow's scheduler, after marking the previous one as failed: `python -m deploy.local.scheduler ARGS...`

If a scheduler is killed, Airflow waits until its heartbeat is too old (two minutes here) before the next scheduler gets
its tasks. supervisord runs only one scheduler. So a scheduler that the database still calls running is dead.
"""

import sys

import boto3  # noqa: F401  # every task's process is a fork of this one, and needs it: 0.1 to 0.3 s of CPU for each
from airflow.__main__ import main as airflow
from airflow.jobs.job import Job, JobState
from airflow.utils.session import create_session
from sqlalchemy import update


def main() -> None:
    """Mark killed schedulers as failed, so that their tasks continue at once; then run the scheduler."""
    with create_session() as session:
        session.execute(
            update(Job)
            .where(Job.job_type == "SchedulerJob", Job.state == JobState.RUNNING)
            .values(state=JobState.FAILED)
        )
    sys.argv[0] = "airflow"
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
