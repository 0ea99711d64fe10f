"""The operator finds a task done, or runs it in its runtime, and tells Airflow whether a retry can help."""

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.timeout import timeout

from operators import memory_watch, model_task
from operators.local_job import LocalJob
from operators.model_task import GateTask, ModelTask
from tasks import definitions
from tasks.contract import Result, Spec
from tasks.execution import run
from tasks.runtimes import Runtime
from tasks.store.local import LocalStore
from tests.operators.airflow_context import context
from tests.operators.jobs import interpreter
from tests.tasks.probe import KEYED


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on which the interpreter of every runtime is the stand-in, with a store in a folder."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    python = interpreter(tmp_path)
    monkeypatch.setattr(model_task, "runtime", lambda name: Runtime(name=name, python=python, lock_digest="1"))
    wishes = dataclasses.replace(KEYED, name="wishes", parameters="tests.operators.jobs:Wishes")
    for definition in (KEYED, wishes, dataclasses.replace(wishes, name="unkeyed", keyed=False)):
        monkeypatch.setitem(definitions.FIXED, definition.name, definition)
    return tmp_path


def task(name: str = "wishes", kind: type[ModelTask] = ModelTask, **changed: Any) -> ModelTask:
    return kind(**{"task_id": "tested", "task": name, "parameters": {}, **changed})


def starts(host: Path) -> int:
    return sum(len(log.read_text().split()) for log in (host / "state" / "jobs").glob("*/starts"))


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def specs(host: Path) -> list[Spec]:
    return [Spec.from_json(file.read_bytes()) for file in (host / "state" / "jobs").glob("*/spec.json")]


def test_a_task_runs_in_its_runtime_and_reports_its_result(host: Path) -> None:
    told = task(threads=3).execute(context())
    assert told["facts"]["pid"] and "failure" not in told
    (spec,) = specs(host)
    assert spec == Spec(task="wishes", threads=3)
    json.dumps(told)


def test_what_is_in_the_store_starts_nothing(host: Path) -> None:
    made = run(Spec(task="probe", parameters={"word": "made"}), LocalStore(host / "store"))
    told = task("probe", parameters={"word": "made"}).execute(context())
    assert told["artifact"] == made.artifact and told["reused"] and starts(host) == 0


def test_inputs_are_the_artifacts_of_the_tasks_they_name(host: Path) -> None:
    store = LocalStore(host / "store")
    keys = [run(Spec(task="probe", parameters={"word": word}), store).artifact for word in ("one", "two")]
    told = {
        "fetch": {"artifact": keys[0]},
        "a.gate": {"artifact": keys[1], "made_from": {"fetch": keys[0]}},
        "c.gate": {"artifact": None},
        # Somebody cleared the run from fetch, and this task did not run again.
        "d.gate": {"artifact": keys[1], "made_from": {"fetch": keys[1]}},
    }
    optional = {f"verdict:{name}": f"{name}.gate" for name in "abcd"}
    ended = task(inputs={"snapshot": "fetch"}, optional_inputs=optional).execute(context(told))
    (spec,) = specs(host)
    assert spec.inputs == {"snapshot": keys[0], "verdict:a": keys[1]}
    assert ended["made_from"] == {
        "fetch": keys[0],
        "a.gate": keys[1],
        "b.gate": None,
        "c.gate": None,
        "d.gate": None,
    }, "by this the tasks after it see whether the result still holds"


def test_an_input_that_was_not_made_is_named() -> None:
    given = context()
    with pytest.raises(AirflowFailException, match="The task fetch left no result; clear it") as raised:
        task(inputs={"snapshot": "fetch"}).execute(given)
    assert given["ti"].pushed == {"failure": str(raised.value)}, "the last line of the run gives it as the reason"


def test_parameters_may_come_from_the_run(host: Path) -> None:
    task(parameters=lambda given: {"note": given["params"]["model"]}).execute(context(model="acme/other"))
    assert specs(host)[0].parameters == {"note": "acme/other"}


@pytest.mark.parametrize(
    ("wish", "kind", "said"),
    [
        ({"failure": "transient"}, AirflowException, "planted"),
        ({"failure": "terminal"}, AirflowFailException, "planted"),
        ({"signal": 9}, AirflowException, "ended by SIGKILL"),
        ({"crash": True}, AirflowFailException, "RuntimeError: planted bug"),
        ({"unknown": 1}, AirflowFailException, "wrong parameter: there is no field 'unknown'"),
    ],
    ids=str,
)
def test_a_failure_is_retried_only_where_that_can_help(wish: dict[str, Any], kind: type[Exception], said: str) -> None:
    given = context()
    with pytest.raises(kind, match=said) as raised:
        task(parameters=wish).execute(given)
    assert type(raised.value) is kind
    assert given["ti"].pushed == {"failure": str(raised.value)}, "the tasks after it tell it on"


def test_a_store_that_is_away_is_tried_again(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.errors import StoreUnavailable

    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(model_task, "prepare", away)
    with pytest.raises(AirflowException, match="the store is away") as raised:
        task().execute(context())
    assert not isinstance(raised.value, AirflowFailException)


def test_a_second_run_attaches_to_the_first_ones_job(host: Path) -> None:
    """Two releases that need the same base at once convert it once."""
    results: list[dict[str, Any]] = []

    def execute(run_id: str) -> None:
        results.append(task(parameters={"until": "go"}).execute(context(run_id=run_id)))

    runs = [threading.Thread(target=execute, args=(run_id,)) for run_id in ("run-1", "run-2")]
    for thread in runs:
        thread.start()
    jobs = host / "state" / "jobs"
    wait_for(lambda: list(jobs.glob("*/starts")))
    (folder,) = jobs.iterdir()
    threading.Timer(0.5, (folder / "go").touch).start()
    for thread in runs:
        thread.join()
    assert starts(host) == 1 and len({told["facts"]["pid"] for told in results}) == 1


def test_a_run_with_another_parameter_outside_the_key_has_its_own_job(host: Path) -> None:
    """The parameter may decide whether the job fails, and the failure of one run is none of the other's."""
    threads = [
        threading.Thread(target=task(parameters={"until": "go", "outside": word}).execute, args=(context(),))
        for word in ("one", "other")
    ]
    for thread in threads:
        thread.start()
    jobs = host / "state" / "jobs"
    wait_for(lambda: len(list(jobs.glob("*/starts"))) == 2)
    for folder in jobs.iterdir():
        (folder / "go").touch()
    for thread in threads:
        thread.join()
    assert starts(host) == 2


@pytest.mark.parametrize(("name", "force"), [("unkeyed", False), ("wishes", True)])
def test_what_is_not_to_be_shared_is_each_runs_own(host: Path, name: str, force: bool) -> None:
    for run_id in ("run-1", "run-2"):
        task(name).execute(context(run_id=run_id, force=force))
    assert starts(host) == 2 and len(specs(host)) == 2
    assert all(spec.force == force for spec in specs(host))
    runs = {"run-1", "run-2"} if force else {""}
    assert {spec.forced_by for spec in specs(host)} == runs, "what is shared does not depend on the run"


PLAN = {"preflight": {"facts": {"targets": {"gguf-q8_0": {"made": False, "reason": "not chosen"}}}}}


def test_a_target_that_is_not_made_is_skipped_with_the_plans_reason(host: Path) -> None:
    with pytest.raises(AirflowSkipException, match="^gguf-q8_0 is not made: not chosen$"):
        task(planned_target="gguf-q8_0").execute(context(PLAN))
    assert not (host / "state" / "jobs").exists()


def test_a_proof_without_a_place_is_skipped_and_the_conversion_is_not(host: Path) -> None:
    proofs = [{"obstacle": None}, {"obstacle": "settings.toml declares no pool 'far'"}]
    plan = {"preflight": {"facts": {"targets": {"gguf-q8_0": {"made": True, "reason": "chosen", "proofs": proofs}}}}}
    with pytest.raises(AirflowSkipException, match=r"^gguf-q8_0 is unproven: settings\.toml declares no pool 'far'\.$"):
        task(planned_target="gguf-q8_0", proof=1).execute(context(plan))
    assert not (host / "state" / "jobs").exists()
    task(planned_target="gguf-q8_0", proof=0).execute(context(plan))


def test_a_task_that_the_plan_does_not_know_is_skipped(host: Path) -> None:
    """Somebody added a target or a pool to the recipe while the run was going on."""
    made = {"made": True, "reason": "chosen", "proofs": [{"obstacle": None}]}
    plan = {"preflight": {"facts": {"targets": {"gguf-q8_0": made}}}}
    changed = "the recipe has changed since this run began; trigger a new run"
    with pytest.raises(AirflowSkipException, match=rf"^gguf-q5_k_m is not made: {changed}\.$"):
        task(planned_target="gguf-q5_k_m").execute(context(plan))
    with pytest.raises(AirflowSkipException, match=rf"^gguf-q8_0 is not measured in gpu: {changed}\.$"):
        task(planned_target="gguf-q8_0", proof=1, pool="gpu").execute(context(plan))
    assert not (host / "state" / "jobs").exists()


def test_a_measurement_that_the_plan_places_in_another_pool_is_not_made(host: Path) -> None:
    made = {"made": True, "reason": "chosen", "proofs": [{"obstacle": None, "pool": "big"}]}
    plan = {"preflight": {"facts": {"targets": {"gguf-q8_0": made}}}}
    measurement: dict[str, Any] = {"planned_target": "gguf-q8_0", "proof": 0, "hardware": "8 cores"}
    given = context(plan)
    with pytest.raises(AirflowFailException, match=r"in the pool big, but this task runs in small: .* Trigger a new"):
        task(**measurement, pool="small").execute(given)
    assert "Trigger a new run" in given["ti"].pushed["failure"]
    assert not (host / "state" / "jobs").exists()
    task(**measurement, pool="big").execute(context(plan))


def test_a_base_that_was_not_chosen_is_judged(host: Path) -> None:
    """Otherwise a wrong base would block nothing as soon as somebody chooses only what is made from it."""
    way = {"made": True, "reason": "the base of gguf-q8_0", "proofs": [{"obstacle": None}]}
    plan = {"preflight": {"facts": {"targets": {"gguf-f16": way}}}}
    assert task(planned_target="gguf-f16", proof=0).execute(context(plan, targets=["gguf-q8_0"]))["facts"]["pid"]


@pytest.mark.parametrize(("name", "told"), [("convert", True), ("evaluate", False)])
def test_what_preflight_predicted_is_reported_of_a_conversion_only(
    name: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([0, 1])
    monkeypatch.setattr(memory_watch, "kernel_kills", lambda: next(counts))
    monkeypatch.setitem(definitions.FIXED, name, dataclasses.replace(definitions.FIXED["wishes"], name=name))
    way = {"made": True, "reason": "chosen", "size_bytes": 1, "memory_bytes": 2_200_000_000, "disk_bytes": 3}
    plan = {"preflight": {"facts": {"targets": {"gguf-q8_0": way}}}}
    with pytest.raises(AirflowException, match="killed by the kernel because memory ran out") as raised:
        task(name, planned_target="gguf-q8_0", parameters={"signal": 9}).execute(context(plan))
    assert ("preflight predicted 2.20 GB" in str(raised.value)) == told


def test_jobs_of_long_ago_are_swept(host: Path) -> None:
    old = host / "state" / "jobs" / "old"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    task().execute(context())
    assert not old.exists() and starts(host) == 1


@pytest.mark.parametrize("passed", [True, False])
def test_a_block_is_red_but_its_verdict_is_there(passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"target": "gguf-q2_k", "passed": passed, "reason": "KLD mean 0.3 > 0.05"}
    monkeypatch.setattr(GateTask, "_result", lambda self, context: Result(artifact="1" * 64, facts=facts))
    given = context()
    if passed:
        assert task(kind=GateTask).execute(given)["facts"] == facts
        assert given["ti"].pushed == {}
        return
    with pytest.raises(AirflowFailException, match="^BLOCKED gguf-q2_k: KLD mean 0.3 > 0.05$"):
        task(kind=GateTask).execute(given)
    assert given["ti"].pushed["return_value"]["artifact"] == "1" * 64


def test_killing_the_task_ends_its_job(host: Path) -> None:
    tested = task(parameters={"until": "never"})
    ended: list[BaseException] = []

    def execute() -> None:
        try:
            tested.execute(context())
        except AirflowException as error:
            ended.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    wait_for(lambda: starts(host))
    tested.on_kill()
    thread.join(30)
    assert ended and "ended by SIGTERM" in str(ended[0])


def test_a_task_that_reaches_its_limit_ends_its_job_and_is_not_retried(host: Path) -> None:
    """A retry would start the work anew, with the same limit."""
    tested, given = task(parameters={"until": "never"}, execution_timeout=timedelta(hours=1.5)), context()

    def ring() -> None:
        wait_for(lambda: isinstance(tested._job, LocalJob) and tested._job.status() == "running" and starts(host))
        os.kill(os.getpid(), signal.SIGALRM)

    alarm = threading.Thread(target=ring)
    alarm.start()
    with pytest.raises(AirflowFailException) as raised, timeout(3600):  # type: ignore[no-untyped-call]
        tested.execute(given)
    alarm.join()
    assert str(raised.value).startswith(
        "The task took longer than 1.5 h, its limit; raise 'timeout_hours' in the recip"
    )
    assert given["ti"].pushed == {"failure": str(raised.value)}, "the report and the last line of the run give it"
    assert isinstance(tested._job, LocalJob) and tested._job.status() != "running"


def test_a_download_that_reaches_its_limit_is_told_to_be_kept() -> None:
    limit = timedelta(hours=1.5)
    said = str(ModelTask(task_id="fetch", task="fetch", parameters={}, execution_timeout=limit)._too_long())
    assert said.startswith("The task took longer than 1.5 h, its limit, and what it downloaded is kept; raise 'timeout")


def test_a_run_that_times_out_does_not_end_the_job_that_another_waits_for(
    host: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {run_id: task(parameters={"until": "go"}) for run_id in ("run-1", "run-2")}
    ended: dict[str, object] = {}

    def execute(run_id: str) -> None:
        try:
            ended[run_id] = runs[run_id].execute(context(run_id=run_id))
        except AirflowException as error:
            ended[run_id] = error

    threads = {run_id: threading.Thread(target=execute, args=(run_id,), daemon=True) for run_id in runs}
    for thread in threads.values():
        thread.start()
    wait_for(
        lambda: starts(host) and all(isinstance(run._job, LocalJob) and run._job._process for run in runs.values())
    )
    runs["run-2"].on_kill()
    threads["run-2"].join(30)
    (folder,) = (host / "state" / "jobs").iterdir()
    (folder / "go").touch()
    threads["run-1"].join(30)
    assert isinstance(ended["run-1"], dict) and starts(host) == 1
    told = ended["run-2"]
    assert type(told) is AirflowException and "its job, which goes on for another run" in str(told)
    assert f"The job {folder} goes on: another run waits for it, too." in capsys.readouterr().out
