"""The DAG `housekeeping`: once a day it publishes or removes what killed tasks left in the store."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from operators.model_task import ModelTask

with DAG(
    dag_id="housekeeping",
    description="Publishes or removes what killed tasks left in the store.",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["hallmark"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=6)},
) as dag:
    ModelTask(task_id="sweep", task="sweep", parameters={})
