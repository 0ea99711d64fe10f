"""The release's graph with tasks that do nothing: what Airflow alone takes for it. It is read from a folder of DAGs."""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator

from operators.render import release_dag
from tasks.recipe import load_recipe


class Nothing(BaseOperator):
    """A task that a worker starts and that ends at once; Airflow's own empty operator is never started."""

    def execute(self, context: Any) -> None:
        """Do nothing."""


release = release_dag(load_recipe(Path(__file__).parent / "recipes" / "bench.yaml"))
with DAG(dag_id="floor", schedule=None, catchup=False) as dag:
    known = {
        task.task_id: Nothing(task_id=task.task_id.replace(".", "--"), pool=task.pool, pool_slots=task.pool_slots)
        for task in release.tasks
    }
    for task in release.tasks:
        known[task.task_id].set_upstream([known[name] for name in task.upstream_task_ids])
