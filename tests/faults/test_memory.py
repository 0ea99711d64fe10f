"""A converter that dies for want of memory is told apart from one that crashed and from one that somebody killed."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from operators.local_job import OOM_SCORE, LocalJob
from tasks.contract import Failure, Result, Spec
from tasks.formats.base import Prediction
from tasks.host.process_group import members
from tasks.settings import REPOSITORY
from tests.fixtures.memory_groups import ENTER, GROUP_BYTES
from tests.operators.jobs import task_interpreter

PREDICTION = Prediction(size_bytes=1, memory_bytes=50_000_000, disk_bytes=1)

WATCHER = """
import os, sys
from pathlib import Path
from operators.local_job import LocalJob
from tasks.contract import Spec
from tasks.formats.base import Prediction
folder, python, spec, prediction, neighbour = sys.argv[1:]
held = b"x" * int(neighbour)
job = LocalJob(Path(folder), Prediction.from_json(prediction))
job.submit(Path(python), Spec.from_json(spec), dict(os.environ))
sys.stdout.write(job.wait(lambda line: None).to_json())
"""
"""Watches a job from inside a control group, of whose memory it takes a part itself."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def spec(**parameters: object) -> Spec:
    return Spec(task="takes_memory", parameters=parameters)


def run(folder: Path, given: Spec) -> Failure:
    job = LocalJob(folder / "job", PREDICTION)
    job.submit(task_interpreter(folder), given, dict(os.environ))
    failure = job.wait(lambda line: None).failure
    assert failure and job._process and not list(members(job._process.pid))
    return failure


def reached(failure: Failure) -> float:
    """The peak in the message, in bytes."""
    told = re.search(r"\(it reached ([\d.]+) MB of ", failure.message)
    assert told, failure.message
    return float(told[1]) * 1e6


@pytest.mark.parametrize("tool", [False, True])
def test_a_job_beyond_the_hosts_setting_is_ended(tool: bool, tmp_path: Path, state: Path) -> None:
    (state / "settings.toml").write_text("[host]\nmemory_bytes = 200000000\n")
    failure = run(tmp_path, spec(megabytes=300, tool=tool))
    assert (failure.kind, failure.error) == ("terminal", "MemoryExceeded"), "it would come to the same again"
    assert "MB of 200.0 MB; preflight predicted 50.0 MB); run it on a host with more memory" in failure.message
    assert failure.message.endswith("or raise memory_bytes under [host] in settings.toml.")
    assert 200e6 < reached(failure) < 600e6


def in_group(group: Path, folder: Path, given: Spec, neighbour: int = 0) -> Failure:
    watcher = [sys.executable, "-c", WATCHER, str(folder / "job"), str(task_interpreter(folder)), given.to_json()]
    done = subprocess.run(
        ["sh", "-c", ENTER, group, *watcher, PREDICTION.to_json(), str(neighbour)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    failure = Result.from_json(done.stdout).failure
    assert failure
    return failure


@pytest.mark.parametrize("tool", [False, True])
def test_what_the_kernel_kills_alone_in_its_memory_is_not_tried_again(
    tool: bool, memory_group: Path, tmp_path: Path
) -> None:
    failure = in_group(memory_group, tmp_path, spec(megabytes=400, tool=tool))
    assert (failure.kind, failure.error) == ("terminal", "MemoryExceeded")
    killed = "tool.py" if tool else "The task"
    assert failure.message.startswith(f"{killed} was killed by the kernel because memory ran out (it reached ")
    told = f"of {GROUP_BYTES / 1e6:.1f} MB; preflight predicted 50.0 MB); run it on a host with more memory"
    assert told in failure.message
    assert 0.8 * GROUP_BYTES < reached(failure) <= GROUP_BYTES


def test_what_the_kernel_kills_because_of_others_may_be_tried_again(memory_group: Path, tmp_path: Path) -> None:
    failure = in_group(memory_group, tmp_path, spec(megabytes=250), neighbour=100_000_000)
    assert (failure.kind, failure.error) == ("transient", "OutOfMemory")
    assert "was killed by the kernel because memory ran out" in failure.message


@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize(("end", "name"), [("segmentation", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crash_is_called_a_crash(end: str, name: str, tool: bool, tmp_path: Path) -> None:
    failure = run(tmp_path, spec(end=end, tool=tool))
    assert (failure.kind, failure.error) == ("terminal", "ToolFailed" if tool else "Bug")
    assert f"{'tool.py' if tool else 'the task takes_memory'} crashed with {name}" in failure.message
    assert "memory" not in failure.message.replace("takes_memory", "")


def test_a_tool_that_somebody_killed_may_be_tried_again(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def kill() -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.02)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    threading.Thread(target=kill).start()
    failure = run(tmp_path, spec(tool=True, pid=str(pid)))
    assert (failure.kind, failure.error) == ("transient", "ToolKilled")
    assert failure.message.startswith("tool.py was ended by SIGKILL from outside the task")


def test_memory_that_is_refused_is_no_bug(tmp_path: Path) -> None:
    failure = run(tmp_path, spec(end="refused"))
    assert (failure.kind, failure.error) == ("transient", "OutOfMemory")
    assert "The task did not get the memory it asked for: MemoryError (it reached " in failure.message


def test_the_kernel_is_offered_the_job_before_anything_else(tmp_path: Path) -> None:
    job = LocalJob(tmp_path / "job")
    job.submit(task_interpreter(tmp_path), spec(), dict(os.environ))
    assert job._process
    score = Path(f"/proc/{job._process.pid}/oom_score_adj").read_text()
    job.kill()
    job.wait(lambda line: None)
    assert int(score) >= OOM_SCORE > int(Path("/proc/self/oom_score_adj").read_text())
