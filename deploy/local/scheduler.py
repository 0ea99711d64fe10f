"""Run Airflow's scheduler, and tell first that the one before it is dead: `python -m deploy.local.scheduler ARGS...`

Airflow would wait for a killed scheduler's heartbeat to be out of date, two minutes here, before it gives its tasks to
the next one. Supervisord runs one scheduler only: whichever the database calls running when one starts is dead.
"""

import sys

from airflow.__main__ import main as airflow
from airflow.jobs.job import Job, JobState
from airflow.utils.session import create_session
from sqlalchemy import update


def main() -> None:
    """Mark schedulers that were killed as failed, so that their tasks are taken up at once, then run the scheduler."""
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
