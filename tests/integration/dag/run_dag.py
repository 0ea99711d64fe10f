"""Run a DAG of the bundle once per configuration, without a scheduler, and tell how each run ended.

    python run_dag.py DAG_ID RESULTS CONFIGURATION...

A process of its own: Airflow reads its configuration when it is imported, and remembers a run's parameters in the DAG.
"""

import json
import sys
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.dag_processing.dagbag import DagBag
from airflow.models.xcom import XComModel


def run(dag_id: str, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the run's state, its tasks' states, and what they told under `return_value` and `failure`."""
    dag = DagBag(Path(__file__).parent / "bundle").dags[dag_id]
    ended = dag.test(run_conf=configuration)
    assert settings.Session is not None
    session = settings.Session()
    told: dict[str, dict[str, Any]] = {"return_value": {}, "failure": {}}
    for row in session.scalars(XComModel.get_many(run_id=ended.run_id)):
        if row.key in told:
            told[row.key][row.task_id] = XComModel.deserialize_value(row)
    states = {task.task_id: str(task.state) for task in ended.get_task_instances()}
    return {"run_id": ended.run_id, "state": str(ended.state), "tasks": states, **told}


if __name__ == "__main__":
    results = [run(sys.argv[1], json.loads(given)) for given in sys.argv[3:]]
    Path(sys.argv[2]).write_text(json.dumps(results))
