"""SIGKILL of a task's process leaves no process behind, and a retry never begins beside what the first started."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException

from operators import model_task
from operators.local_job import LocalJob
from operators.model_task import ModelTask
from tasks import definitions
from tasks.contract import Spec
from tasks.host.proc import start_ticks
from tasks.host.process_group import end, members
from tasks.runtimes import Runtime
from tasks.settings import REPOSITORY
from tests.faults.memory_task import TAKES_MEMORY
from tests.operators.airflow_context import context
from tests.operators.jobs import interpreter, spec, task_interpreter

ASKER = """
import sys
from pathlib import Path
from tasks.source.checks.sandbox import ask
ask(Path(sys.argv[1]), {})
"""

SLEEPER = "import os, pathlib, sys, time; pathlib.Path({pid!r}).write_text(str(os.getpid())); time.sleep(600)"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def number(file: Path) -> int:
    """The process id that somebody writes into a file."""
    until(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


def lives(pid: int) -> bool:
    return start_ticks(pid) is not None


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "HALLMARK_HOME": str(tmp_path / "state"), "HALLMARK_STORE": f"file://{tmp_path}/store"}


def test_a_tool_that_would_run_for_minutes_dies_with_its_task(tmp_path: Path, environment: dict[str, str]) -> None:
    """Though nobody watches."""
    given = Spec(task="takes_memory", parameters={"tool": True, "pid": str(tmp_path / "pid")})
    (tmp_path / "spec.json").write_text(given.to_json())
    command = [str(task_interpreter(tmp_path)), "-m", "tasks", "takes_memory", str(tmp_path / "spec.json")]
    task = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tool = number(tmp_path / "pid")
    assert lives(tool)
    task.kill()
    task.wait()
    until(lambda: not lives(tool))


def test_a_script_that_is_asked_apart_dies_with_its_task(tmp_path: Path, environment: dict[str, str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLEEPER.format(pid=str(tmp_path / "pid")))
    task = subprocess.Popen([sys.executable, "-c", ASKER, script], cwd=REPOSITORY, env=environment)
    asked = number(tmp_path / "pid")
    task.kill()
    task.wait()
    until(lambda: not lives(asked))


def test_who_notices_a_jobs_death_ends_all_that_it_started(tmp_path: Path) -> None:
    """Also what was started by something else than us, which the kernel does not end with it."""
    job = LocalJob(tmp_path / "job")
    job.submit(interpreter(tmp_path), spec(until="never", child=True), {"PATH": os.environ["PATH"]})
    child = number(tmp_path / "job" / "child")
    assert job._process
    os.kill(job._process.pid, signal.SIGKILL)
    failure = job.wait(lambda line: None).failure
    assert failure and failure.kind == "transient" and not lives(child)


def test_a_retry_first_ends_what_an_unwatched_job_left(tmp_path: Path) -> None:
    given = spec(until="go", child=True)
    first = LocalJob(tmp_path / "job")
    first.submit(interpreter(tmp_path), given, {"PATH": os.environ["PATH"]})
    left = number(tmp_path / "job" / "child")
    assert first._process and first._child
    os.kill(first._process.pid, signal.SIGKILL)
    # The watcher is gone, and init has reaped.
    first._child.wait()
    first._watching.close()
    (tmp_path / "job" / "child").unlink()
    assert lives(left)
    second = LocalJob(tmp_path / "job")
    assert not second.submit(interpreter(tmp_path), given, {"PATH": os.environ["PATH"]})
    assert not lives(left)
    second.kill()
    second.wait(lambda line: None)


@pytest.fixture
def airflow_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Executes the operator for a tool that would run for minutes; whatever it leaves is ended."""
    for name, value in (("HALLMARK_HOME", tmp_path / "state"), ("HALLMARK_STORE", f"file://{tmp_path}/store")):
        monkeypatch.setenv(name, str(value))
    python = task_interpreter(tmp_path)
    monkeypatch.setattr(model_task, "runtime", lambda name: Runtime(name=name, python=python, lock_digest="1"))
    monkeypatch.setitem(definitions.FIXED, "takes_memory", TAKES_MEMORY)
    parameters = {"tool": True, "pid": str(tmp_path / "pid")}
    yield lambda: ModelTask(task_id="tested", task="takes_memory", parameters=parameters).execute(context())
    for file in (tmp_path / "state" / "jobs").glob("*/job.json"):
        end(json.loads(file.read_text())["pid"])


def test_a_converter_outlives_its_airflow_task_and_is_not_started_again(
    tmp_path: Path, airflow_task: Callable[[], object]
) -> None:
    first = multiprocessing.get_context("fork").Process(target=airflow_task)
    first.start()
    tool = number(tmp_path / "pid")
    (job,) = (tmp_path / "state" / "jobs").glob("*/job.json")
    group = json.loads(job.read_text())["pid"]
    first.kill()
    first.join()
    assert tool in members(group)
    # What ends the second one's waiting, too: the tool of the first.
    threading.Timer(1, os.kill, (tool, signal.SIGKILL)).start()
    with pytest.raises(AirflowException, match=r"tool.py was ended by SIGKILL from outside the task"):
        airflow_task()
    assert number(tmp_path / "pid") == tool, "there was no second one"
    assert not list(members(group))
