"""Reads the tasks of a finished release from the laptop stack, and runs some of them again with one and two threads."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from bench.schedule.work import Release, Work, parallel_share
from deploy.local import stack
from deploy.local.airflow_api import TaskInstance
from operators.credentials import task_environment
from tasks.definitions import POOLED, find_definition
from tasks.host.facts import host_facts
from tasks.host.processor import processor
from tasks.manifest import Manifest
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY, home
from tasks.store.artifacts import read_manifest
from tasks.store.open import open_store

TIMES = 2
"""So often each task runs with one thread and with two, in turn. The shortest time of each counts."""


def measured_release(dag_id: str, repeat: bool = True) -> Release:
    """Return the newest finished run of a DAG, with the times of its tasks.

    repeat: whether to find out what a second thread gains, which takes some minutes and wants an idle host.
    Raises RuntimeError if there is no such run, or if it found tasks done that an earlier one had made.
    """
    os.environ.update(stack.environment())
    with stack.airflow_api() as airflow:
        run = next((run for run in airflow.runs(dag_id) if run.finished), None)
        if run is None or run.start_date is None or run.end_date is None:
            raise RuntimeError(f"{dag_id} has no finished run; release a model with it first.")
        instances = [one for one in airflow.task_instances(dag_id, run.dag_run_id) if one.duration and one.state]
        told = {one.task_id: airflow.xcom(dag_id, run.dag_run_id, one.task_id) for one in instances}
        model = str((run.conf or {}).get("model"))
    if reused := sorted(name for name, value in told.items() if value and value.get("reused")):
        raise RuntimeError(
            f"The run {run.dag_run_id} did not make everything itself: {', '.join(reused)} were made before. "
            "Empty the store and release again."
        )
    store = open_store()
    manifests = {
        name: read_manifest(store, value["artifact"]) for name, value in told.items() if value and value.get("artifact")
    }
    shares = parallel_shares(manifests) if repeat else {}
    after = _edges(dag_id)
    return Release(
        model=model,
        machine=f"{processor()}, {host_facts().cores} cores",
        seconds=(run.end_date - run.start_date).total_seconds(),
        tasks={one.task_id: _work(one, manifests.get(one.task_id), after, shares) for one in instances},
    )


def parallel_shares(manifests: Mapping[str, Manifest]) -> dict[str, float]:
    """Return the share of each task that threads speed up.

    One task of each kind is run again, the longest one: what is done is the same for all targets of a format that are
    made from the same bases, and for all that run in the same engine.
    """
    heavy = {name: found for name, found in manifests.items() if found.kind in POOLED and found.kind != "benchmark"}
    shares = dict[str, float]()
    for _, alike in groupby(sorted(heavy, key=lambda name: _kind(heavy[name])), key=lambda name: _kind(heavy[name])):
        names = list(alike)
        longest = max(names, key=lambda name: heavy[name].cost.wall_seconds)
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(TIMES):
            for threads, found in seconds.items():
                found.append(_run_again(heavy[longest], threads))
        share = parallel_share(seconds[1], seconds[2])
        print(f"{longest}: {_texts(seconds[1])} s with one thread, {_texts(seconds[2])} s with two", flush=True)
        shares |= dict.fromkeys(names, share)
    return shares


def _kind(found: Manifest) -> tuple[str, ...]:
    target = found.parameters.get("target")
    if not isinstance(target, dict):
        return (found.kind,)
    return found.kind, str(target["format"]), *(sorted(target["requires"]) if found.kind == "convert" else ())


def _run_again(made: Manifest, threads: int) -> float:
    """Make an artifact again with so many threads. Return the wall seconds of its process."""
    definition = find_definition(made.kind, made.parameters)
    spec = {
        "task": made.kind,
        "parameters": made.parameters,
        "inputs": made.inputs,
        "threads": threads,
        "hardware": processor(),
        "force": True,
    }
    store_access = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    environment = task_environment(definition, threads, store_access)
    with tempfile.TemporaryDirectory(dir=home()) as folder:
        given, told = Path(folder, "spec.json"), Path(folder, "result.json")
        given.write_text(json.dumps(spec), encoding="utf-8")
        command = [str(runtime(definition.runtime).python), "-m", "tasks", made.kind, str(given), "--result", str(told)]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{made.kind} failed:\n{done.stderr[-3000:]}")
        return float(json.loads(told.read_text(encoding="utf-8"))["cost"]["wall_seconds"])


def _work(
    one: TaskInstance, made: Manifest | None, after: Mapping[str, Iterable[str]], shares: Mapping[str, float]
) -> Work:
    pooled = one.pool != "default_pool" and made is not None and made.kind in POOLED
    threads = find_definition(made.kind, made.parameters).threads if made and pooled else 1
    return Work(
        after=tuple(after.get(one.task_id, ())),
        pooled=pooled,
        threads=threads,
        seconds=one.duration or 0.0,
        parallel=shares.get(one.task_id, 0.0),
    )


def _edges(dag_id: str) -> dict[str, list[str]]:
    bag = DagBag(REPOSITORY / "dags")
    return {task.task_id: sorted(task.upstream_task_ids) for task in bag.dags[dag_id].tasks}


def _texts(seconds: Iterable[float]) -> str:
    return " and ".join(f"{value:.1f}" for value in seconds)
