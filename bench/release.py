"""Measures a whole release through Airflow: triggered over its REST API, watched until it has ended."""

import time
from collections import Counter
from typing import Any

from bench.critical_path import Task, critical_path, lower_bound
from bench.places import MODEL
from bench.stack import Stack
from deploy.local.airflow_api import AirflowApi

DAGS = {"release": "release_bench", "again": "release_bench", "early": "release_bench_early"}
"""The DAG of each row that is a whole release of ours."""

FLOOR = "floor"
LOOK_SECONDS = 5.0
"""Between looks, each of which the API server has to answer; the seconds of a run are Airflow's own."""


def release(stack: Stack, dag: str, targets: list[str]) -> dict[str, Any]:
    """Release the model by a DAG; returns what the run tells of itself. Raises RuntimeError where it failed."""
    with stack.airflow() as airflow:
        return _run(airflow, dag, {"model": MODEL, "targets": targets})


def floor(stack: Stack) -> dict[str, Any]:
    """Let Airflow run as many tasks in the same order, none of which does anything; returns seconds and tasks."""
    with stack.airflow() as airflow:
        run = _run(airflow, FLOOR, {})
        return {"seconds": run["seconds"], "tasks": len(airflow.task_instances(FLOOR, run["run"]))}


def _run(airflow: AirflowApi, dag_id: str, configuration: dict[str, Any]) -> dict[str, Any]:
    airflow.wait_for_dag(dag_id)
    run = airflow.trigger(dag_id, configuration)
    while not (state := airflow.dag_run(dag_id, run)).finished:
        time.sleep(LOOK_SECONDS)
    if state.state != "success":
        raise RuntimeError(f"{dag_id} failed; see the logs of its tasks below the benchmark's state folder.")
    assert state.start_date and state.end_date
    return {"dag": dag_id, "run": run, "seconds": (state.end_date - state.start_date).total_seconds()}


def facts_of(stack: Stack, run: dict[str, Any], edges: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is asked of a run that has ended: each task's costs, the critical path, how the source was read."""
    with stack.airflow() as airflow:
        instances = [one for one in airflow.task_instances(run["dag"], run["run"]) if one.state == "success"]
        told = {one.task_id: airflow.xcom(run["dag"], run["run"], one.task_id) for one in instances}
    # A task that only waits for others tells nothing.
    costs = {name: {**found["cost"], "reused": found["reused"]} for name, found in told.items() if found}
    began = min(one.start_date for one in instances if one.start_date)
    tasks = {
        one.task_id: Task(one.duration or 0.0, one.pool_slots if one.pool == "cpu" else 0, edges.get(one.task_id, []))
        for one in instances
    }
    made = {name: cost for name, cost in costs.items() if not cost["reused"]}
    return {
        "seconds": run["seconds"],
        "tasks": len(instances),
        "jobs": len(made),
        "jobs_cpu_seconds": round(sum(cost["cpu_seconds"] for cost in made.values()), 2),
        "critical_path_seconds": round(critical_path(tasks), 1),
        "lower_bound_seconds": round(lower_bound(tasks), 1),
        "new_versions": len(told["register"]["facts"]["new_versions"]),
        "by_task": {
            one.task_id: {
                "began": one.start_date and (one.start_date - began).total_seconds(),
                "seconds": one.duration,
                **costs[one.task_id],
            }
            for one in instances
            if one.task_id in costs
        },
        "source": source_reads(stack),
    }


def source_reads(stack: Stack) -> dict[str, Any]:
    """Return how many bytes of the source's weights the Hub sent, and the store was given and gave."""
    name = "model.safetensors"
    size = (stack.places.model / name).stat().st_size
    sent = sum(row["sent"] for row in stack.requests("hub") if row["file"] == name and row["method"] == "GET")
    requests = [row for row in stack.requests("s3") if row["path"].endswith(name)]
    return {
        "bytes": size,
        "sent_by_hub": sent,
        "stored": sum(row["received"] for row in requests if row["method"] == "PUT"),
        "read_from_store": sum(row["sent"] for row in requests if row["method"] == "GET"),
        "store_requests": dict(Counter(row["method"] for row in requests)),
    }
