"""The demo release as a user sees it: what the command said, what it read, and what the next run does not do again."""

import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.local.access_log import read_access_log
from deploy.local.airflow_api import AirflowApi, AirflowRefused, DagRun
from deploy.local.demo import DEMO_MODEL
from tasks.settings import REPOSITORY
from tasks.store.artifacts import read_manifest
from tests.fixtures.released import ReleasedStack
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

RUN_SECONDS = 900

NEVER_REUSED = {"pin", "preflight", "register", "report", "promote", "conclude"}
"""The tasks that every release does again."""


def run_to_end(airflow: AirflowApi, dag_id: str, conf: dict[str, Any]) -> DagRun:
    airflow.wait_for_dag(dag_id)
    return wait(airflow, dag_id, airflow.trigger(dag_id, conf))


def wait(airflow: AirflowApi, dag_id: str, run_id: str) -> DagRun:
    end = time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        run = airflow.dag_run(dag_id, run_id)
        if run.finished:
            return run
        time.sleep(0.5)
    pytest.fail(f"{dag_id} {run_id} did not end within {RUN_SECONDS} s")


def states(airflow: AirflowApi, dag_id: str, run: DagRun) -> dict[str, str | None]:
    return {task.task_id: task.state for task in airflow.task_instances(dag_id, run.dag_run_id)}


def test_the_command_ends_well_and_reports_what_happened(released_stack: ReleasedStack) -> None:
    assert released_stack.status == 0, released_stack.output
    outcomes = {target.target: target.outcome for target in released_stack.release.targets}
    assert outcomes.pop("gguf-q2_k") == "blocked"
    assert set(outcomes.values()) == {"passed"}
    for target in released_stack.release.targets:
        assert re.search(rf"^{re.escape(target.target)} ", released_stack.output, re.MULTILINE), target.target
    assert "KLD" in released_stack.target("gguf-q2_k").reason


def test_types_are_ordered_by_their_loss(released_stack: ReleasedStack) -> None:
    kld = [
        released_stack.target(name).metrics["kld_mean"].value
        for name in ("gguf-f16", "gguf-q8_0", "gguf-q6_k", "gguf-q5_k_m", "gguf-q4_k_m", "gguf-q2_k")
    ]
    assert kld == sorted(kld)
    assert all(worse > 1.5 * better for better, worse in pairwise(kld))


def test_every_tokenizer_and_template_is_the_sources(released_stack: ReleasedStack) -> None:
    for target in released_stack.release.targets:
        assert target.metrics["tokenizer_parity"].value == 1.0
        assert target.metrics["chat_template_parity"].value == 1.0


def test_the_source_is_read_from_the_hub_once_and_never_from_the_store(released_stack: ReleasedStack) -> None:
    logs = released_stack.stack.home / "stack" / "logs"
    weights = "model.safetensors"
    rows = [row for row in read_access_log(logs / "hub-requests.log") if row["file"] == weights]
    size = (REPOSITORY / "deploy" / "demo" / "hub" / DEMO_MODEL / weights).stat().st_size
    assert sum(row["sent"] for row in rows if row["method"] == "GET") == size
    artifact = released_stack.target("gguf-f16").artifact
    assert artifact is not None
    snapshot = read_manifest(released_stack.store, read_manifest(released_stack.store, artifact).inputs["snapshot"])
    fetched = Counter(
        row["path"]
        for row in read_access_log(logs / "s3-requests.log")
        if row["method"] == "GET" and row["status"] == 200 and snapshot.prefix in row["path"]
    )
    # One worker fetched it and keeps it, so not even once.
    assert not [path for path in fetched if path.endswith(weights)]


def started(stack: RunningStack, before: set[str]) -> set[str]:
    """Return the tasks whose jobs were started since the job folders were `before`."""
    jobs = [job for job in (stack.home / "jobs").iterdir() if job.name not in before]
    return {_task(job).partition(" ")[0] for job in jobs}


def job_folders(stack: RunningStack) -> set[str]:
    return {job.name for job in (stack.home / "jobs").iterdir()}


def _task(job: Path) -> str:
    found = re.search(r'"task": "(\w+)"', (job / "spec.json").read_text())
    assert found
    return found[1]


def test_a_dry_run_ends_with_the_plan(released_stack: ReleasedStack) -> None:
    conf = {"model": DEMO_MODEL, "targets": ["gguf-q4_k_m"], "dry_run": True}
    with released_stack.stack.airflow() as airflow:
        run = run_to_end(airflow, "release_demo", conf)
        assert run.state == "success"
        ended = states(airflow, "release_demo", run)
        assert ended["preflight"] == "success"
        assert ended["gguf-q4_k_m.convert"] == ended["register"] == "skipped"
        assert "gguf-q4_k_m" in airflow.task_log("release_demo", run.dag_run_id, "preflight")


def test_only_what_was_chosen_is_released_and_what_was_released_is_not_made_again(
    released_stack: ReleasedStack,
) -> None:
    before = job_folders(released_stack.stack)
    with released_stack.stack.airflow() as airflow:
        run = run_to_end(airflow, "release_demo", {"model": DEMO_MODEL, "targets": ["onnx-int8"]})
        ended = states(airflow, "release_demo", run)
        assert ended["onnx-int8.gate"] == "success"
        assert ended["onnx-fp32.convert"] == "success", "its base"
        assert ended["onnx-fp32.gate"] == "success", "a base of the recipe is judged, because its faults count"
        registered = airflow.xcom("release_demo", run.dag_run_id, "register")
        assert registered["facts"]["outcomes"]["onnx-fp32"] == "skipped", "and is not released if it was not chosen"
        assert ended["gguf-q8_0.convert"] == ended["safetensors-bf16.gate"] == "skipped"
        assert run.state == "success"
        registered = airflow.xcom("release_demo", run.dag_run_id, "register")
    assert registered["facts"]["new_versions"] == []
    # A timing that other work on the host disturbed is taken again, in the folder of its job, and judged again.
    disturbed = any(released_stack.target(name).disturbed for name in ("onnx-int8", "onnx-fp32"))
    again = {"benchmark", "gate"} if disturbed else set[str]()
    assert started(released_stack.stack, before) - again == NEVER_REUSED


def test_a_wrong_name_is_one_sentence_at_the_first_task(released_stack: ReleasedStack) -> None:
    with released_stack.stack.airflow() as airflow:
        run = run_to_end(airflow, "release_demo", {"model": "nobody/nothing"})
        assert run.state == "failed"
        said = airflow.xcom("release_demo", run.dag_run_id, "conclude", key="failure")
        assert said.startswith("The release stopped at pin: ")
        assert "nobody/nothing" in said
        assert "\n" not in said


@pytest.mark.parametrize(
    "conf",
    [
        {"model": DEMO_MODEL, "targets": ["gguf-q9_z"]},
        {"model": DEMO_MODEL, "targets": []},
        {"model": "../../etc"},
        {"model": DEMO_MODEL, "revision": "main; rm -rf /"},
    ],
)
def test_the_form_refuses_nonsense(released_stack: ReleasedStack, conf: dict[str, Any]) -> None:
    with released_stack.stack.airflow() as airflow:
        airflow.wait_for_dag("release_demo")
        with pytest.raises(AirflowRefused, match="400"):
            airflow.trigger("release_demo", conf)
