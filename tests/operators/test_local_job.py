"""A job outlives whoever watches it, is told apart from any other process, and ends with all that it started."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from airflow.sdk.execution_time.supervisor import ActivitySubprocess

from operators import memory_watch
from operators.local_job import KILL_AFTER_SECONDS, LINE_BYTES, JobProcess, LocalJob
from tasks.contract import EXIT_NO_RESULT, Result, Spec
from tasks.host.file_lock import try_lock
from tasks.settings import REPOSITORY
from tests.operators.jobs import interpreter, spec

WATCHER = """
import sys
from pathlib import Path
from operators.local_job import LocalJob
from tasks.contract import Spec
folder, python = map(Path, sys.argv[1:])
job = LocalJob(folder)
job.submit(python, Spec.from_json(sys.stdin.read()), {})
print("watching", flush=True)
job.wait(print)
"""

IGNORING = "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)" + WATCHER.replace(
    'print("watching", flush=True)\njob.wait(print)', "print(job.wait(lambda line: None).to_json())"
)

TOLD_TO_END = WATCHER.replace("import sys", "import signal, sys").replace(
    'print("watching", flush=True)\njob.wait(print)',
    """signal.signal(signal.SIGTERM, lambda *_: print("ended" if job.kill() else "let go", flush=True))
print("watching", flush=True)
print(job.wait(lambda line: None).to_json(), flush=True)""",
)
"""As Airflow's process of a task: told to end, it kills its job, and goes on where it was."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A job folder; whatever was started in it is ended."""
    folder = tmp_path / "job"
    yield folder
    for pid in starts(folder):
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return interpreter(tmp_path)


def starts(folder: Path) -> list[int]:
    log = folder / "starts"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def run(folder: Path, python: Path, given: Spec) -> tuple[bool, Result, list[str]]:
    job, lines = LocalJob(folder), list[str]()
    attached = job.submit(python, given, {"PATH": os.environ["PATH"]})
    return attached, job.wait(lines.append), lines


def test_a_job_runs_and_reports_its_result(folder: Path, python: Path) -> None:
    attached, result, lines = run(folder, python, spec())
    assert not attached and result.failure is None and result.facts["pid"] == starts(folder)[0]
    assert lines[0] == "begun" and lines[-1] == "an end without its line's"
    assert Spec.from_json((folder / "spec.json").read_bytes()) == spec()


def test_a_job_sees_the_variables_it_is_given_and_no_others(
    folder: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "x")
    _, _, lines = run(folder, python, spec())
    seen = json.loads(next(line for line in lines if line.startswith("environment "))[len("environment ") :])
    assert set(seen) <= {"PATH", "LC_CTYPE"}


def test_a_failure_that_a_job_reports_is_handed_on(folder: Path, python: Path) -> None:
    _, result, _ = run(folder, python, spec(failure="transient"))
    assert result.failure and (result.failure.kind, result.failure.message) == ("transient", "planted")


def test_a_progress_bar_is_seen_while_it_grows(folder: Path, python: Path) -> None:
    """As on a terminal: a carriage return ends a state of the bar, and the latest state counts."""
    job, lines = LocalJob(folder), list[str]()
    job.submit(python, spec(until="go", prints="\r 10%\r 20%\r 30"), {"PATH": os.environ["PATH"]})
    watcher = threading.Thread(target=job.wait, args=[lines.append])
    watcher.start()
    until(lambda: " 20%" in lines)
    assert " 10%" not in lines and " 30" not in lines
    (folder / "go").touch()
    watcher.join()
    assert lines[:2] == ["begun", " 20%"] and lines[2].startswith(" 30environment")


def test_a_line_without_an_end_is_passed_on_in_parts(folder: Path, python: Path) -> None:
    job, lines = LocalJob(folder), list[str]()
    job.submit(python, spec(until="go", prints="x" * 20_000), {"PATH": os.environ["PATH"]})
    watcher = threading.Thread(target=job.wait, args=[lines.append])
    watcher.start()
    until(lambda: len(lines) == 3)
    assert lines[1:] == ["x" * LINE_BYTES] * 2
    (folder / "go").touch()
    watcher.join()
    assert "".join(lines).count("x" * 20_000) == 1, "nothing is lost"


def test_a_job_is_killed_before_airflow_kills_who_kills_it() -> None:
    airflow = inspect.signature(ActivitySubprocess.kill).parameters["escalation_delay"].default
    assert airflow > KILL_AFTER_SECONDS + 1


def test_a_job_that_was_killed_may_be_tried_again(folder: Path, python: Path) -> None:
    _, result, _ = run(folder, python, spec(signal=int(signal.SIGKILL)))
    assert result.failure and result.failure.kind == "transient"
    assert "ended by SIGKILL from outside" in result.failure.message
    assert result.failure.message.endswith("begun")


@pytest.mark.parametrize("wish", [{}, {"signal": int(signal.SIGKILL)}])
def test_a_job_whose_end_the_kernel_keeps_to_itself_ends(folder: Path, python: Path, wish: dict[str, int]) -> None:
    """Who is started with SIGCHLD ignored, as by some containers' first processes, is not told how children end."""
    process = subprocess.run(
        [sys.executable, "-c", IGNORING, folder, python],
        cwd=REPOSITORY,
        input=spec(**wish).to_json(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    failure = Result.from_json(process.stdout).failure
    assert (failure is None) == (not wish)
    assert failure is None or (failure.kind, failure.error) == ("transient", "ToolKilled")


def test_a_job_that_the_kernel_killed_for_memory_has_its_own_failure(
    folder: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a planted count; where a test may make a control group, tests/faults has the kernel kill for real."""
    counts = iter([7, 8])
    monkeypatch.setattr(memory_watch, "kernel_kills", lambda: next(counts))
    _, result, _ = run(folder, python, spec(signal=int(signal.SIGKILL)))
    assert result.failure and (result.failure.kind, result.failure.error) == ("transient", "OutOfMemory")
    said = r"The task was killed by the kernel because memory ran out \(it reached .* MB of .* GB\); run it on a host"
    assert re.match(said, result.failure.message)


def test_a_job_that_crashed_would_crash_again(folder: Path, python: Path) -> None:
    _, result, _ = run(folder, python, spec(signal=int(signal.SIGSEGV)))
    assert result.failure and (result.failure.kind, result.failure.error) == ("terminal", "Bug")
    assert result.failure.message.startswith("begun: the task pin crashed with SIGSEGV; release another model")
    assert result.failure.message.endswith("Its last lines:\nbegun")


def test_a_crash_names_what_the_job_worked_on(folder: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    note = "the tokens of the text 'a'"
    python.write_text(
        f'#!/bin/sh\necho "x.cpp:3: GGML_ASSERT(n > 0) failed"\necho "{note}" >{folder}/at_work.txt\nkill -ABRT $$\n'
    )
    python.chmod(0o755)
    _, result, _ = run(folder, python, spec())
    said = f"x.cpp:3: GGML_ASSERT(n > 0) failed: the task pin crashed with SIGABRT while it worked on {note}; release"
    assert result.failure and result.failure.message.startswith(said)


def test_a_job_that_could_not_write_its_result_had_no_space(folder: Path, tmp_path: Path) -> None:
    """There may be some again by now, or it is a quota that is full."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {EXIT_NO_RESULT}\n")
    python.chmod(0o755)
    _, result, _ = run(folder, python, spec())
    assert result.failure and (result.failure.kind, result.failure.error) == ("terminal", "DiskFull")
    assert "while the task's result or log was written" in result.failure.message


def test_a_bug_is_not_tried_again_and_shows_its_traceback(folder: Path, python: Path) -> None:
    _, result, _ = run(folder, python, spec(crash=True))
    assert result.failure and result.failure.kind == "terminal"
    assert "exit status 1" in result.failure.message and "RuntimeError: planted bug" in result.failure.message


def _watcher(folder: Path, python: Path, given: Spec, script: str) -> "subprocess.Popen[str]":
    watcher = subprocess.Popen(
        [sys.executable, "-c", script, folder, python],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # As Airflow's worker may be, it leads a group of its own, which is ended as a whole.
        start_new_session=True,
    )
    assert watcher.stdin and watcher.stdout
    watcher.stdin.write(given.to_json())
    watcher.stdin.close()
    return watcher


def _watch_and_be_killed(folder: Path, python: Path, given: Spec) -> None:
    watcher = _watcher(folder, python, given, WATCHER)
    assert watcher.stdout and watcher.stdout.readline() == "watching\n"
    until(lambda: starts(folder))
    os.killpg(watcher.pid, signal.SIGKILL)
    watcher.wait()


def test_a_retry_goes_on_watching_the_job_whose_watcher_was_killed(folder: Path, python: Path) -> None:
    given = spec(until="go")
    _watch_and_be_killed(folder, python, given)
    job, lines = LocalJob(folder), list[str]()
    assert job.submit(python, given, {})
    threading.Timer(0.3, (folder / "go").touch).start()
    result = job.wait(lines.append)
    assert result.failure is None and result.facts["pid"] == starts(folder)[0]
    assert len(starts(folder)) == 1 and lines[0] == "begun"


def test_a_job_that_finished_while_nobody_watched_is_not_done_again(folder: Path, python: Path) -> None:
    given = spec(until="go")
    _watch_and_be_killed(folder, python, given)
    (folder / "go").touch()
    until(lambda: (folder / "result.json").exists() and not alive(starts(folder)[0]))
    attached, result, _ = run(folder, python, given)
    assert attached and result.failure is None and len(starts(folder)) == 1


def test_a_job_that_died_while_nobody_watched_is_started_again(folder: Path, python: Path) -> None:
    given = spec(until="go")
    _watch_and_be_killed(folder, python, given)
    os.kill(starts(folder)[0], signal.SIGKILL)
    until(lambda: not alive(starts(folder)[0]))
    (folder / "go").touch()
    attached, result, _ = run(folder, python, given)
    assert not attached and result.failure is None and len(starts(folder)) == 2


def test_a_job_that_dies_under_a_second_watcher_may_be_tried_again(folder: Path, python: Path) -> None:
    given = spec(until="go")
    _watch_and_be_killed(folder, python, given)
    job = LocalJob(folder)
    assert job.submit(python, given, {})
    os.kill(starts(folder)[0], signal.SIGKILL)
    failure = job.wait(lambda line: None).failure
    assert failure and failure.kind == "transient"


def test_what_was_noticed_is_done_again_when_asked_again(folder: Path, python: Path) -> None:
    run(folder, python, spec())
    attached, _, _ = run(folder, python, spec())
    assert not attached and len(starts(folder)) == 2


def test_another_spec_is_another_job(folder: Path, python: Path) -> None:
    _watch_and_be_killed(folder, python, spec(until="go"))
    os.kill(starts(folder)[0], signal.SIGKILL)
    until(lambda: not alive(starts(folder)[0]))
    attached, _, _ = run(folder, python, spec())
    assert not attached


def test_a_running_job_is_never_ended_for_another_that_makes_the_same(folder: Path, python: Path) -> None:
    """The folder's name is what it makes; the number of threads, for one, is no part of that."""
    given = spec(until="go")
    first, second = LocalJob(folder), LocalJob(folder)
    first.submit(python, given, {})
    until(lambda: starts(folder))
    assert second.submit(python, given.model_copy(update={"threads": 7}), {})
    (folder / "go").touch()
    results = [job.wait(lambda line: None) for job in (first, second)]
    assert [result.failure for result in results] == [None] * 2 and len(starts(folder)) == 1


def test_two_that_ask_at_once_watch_one_job(folder: Path, python: Path) -> None:
    given, results = spec(until="go"), list[Result]()

    def watch() -> None:
        job = LocalJob(folder)
        job.submit(python, given, {})
        results.append(job.wait(lambda line: None))

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    until(lambda: starts(folder))
    time.sleep(0.3)
    (folder / "go").touch()
    for watcher in watchers:
        watcher.join()
    assert len(starts(folder)) == 1 and [result.failure for result in results] == [None] * 4


def test_killing_ends_all_that_a_job_started(folder: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = LocalJob(folder)
    job.submit(python, spec(until="never", child=True), {"PATH": os.environ["PATH"]})
    until(lambda: (folder / "child").exists() and (folder / "child").read_text().strip())
    child = int((folder / "child").read_text())
    assert alive(child)
    job.kill()
    until(lambda: not alive(child))
    failure = job.wait(lambda line: None).failure
    assert failure and "ended by SIGTERM" in failure.message
    job.kill()


@dataclass
class Watchers:
    """Processes that watch one job, each started when the one before it watches; whatever is left of them is ended."""

    start: Callable[[], "subprocess.Popen[str]"]
    all: list["subprocess.Popen[str]"] = field(default_factory=list)

    def add(self) -> "subprocess.Popen[str]":
        self.all.append(self.start())
        assert said(self.all[-1]) == "watching"
        return self.all[-1]


@pytest.fixture
def watchers(folder: Path, python: Path) -> Iterator[Watchers]:
    watchers = Watchers(lambda: _watcher(folder, python, spec(until="go"), TOLD_TO_END))
    yield watchers
    for watcher in watchers.all:
        watcher.kill()
        watcher.wait()


def said(watcher: "subprocess.Popen[str]") -> str:
    assert watcher.stdout
    return watcher.stdout.readline().rstrip()


def result(watcher: "subprocess.Popen[str]") -> Result:
    assert watcher.stdout
    return Result.from_json(watcher.stdout.read())


@pytest.mark.parametrize("told", [0, 1], ids=["who started it", "who attached"])
def test_a_stopped_watcher_lets_go_while_another_watches(folder: Path, watchers: Watchers, told: int) -> None:
    both = [watchers.add(), watchers.add()]
    until(lambda: starts(folder))
    both[told].terminate()
    assert said(both[told]) == "let go"
    failure = result(both[told]).failure
    assert failure and failure.kind == "transient" and "its job, which goes on for another run" in failure.message
    assert alive(starts(folder)[0]) and (folder / "job.json").exists()
    (folder / "go").touch()
    assert result(both[1 - told]).failure is None and len(starts(folder)) == 1


def test_the_last_that_watches_a_job_ends_it(folder: Path, watchers: Watchers) -> None:
    """Also where another was killed: its lock died with it."""
    killed, first, last = (watchers.add() for _ in range(3))
    until(lambda: starts(folder))
    killed.kill()
    killed.wait()
    for watcher, says in ((first, "let go"), (last, "ended")):
        watcher.terminate()
        assert said(watcher) == says
    assert not alive(starts(folder)[0])


def test_of_two_watchers_that_are_stopped_at_once_one_ends_the_job(folder: Path, watchers: Watchers) -> None:
    both = [watchers.add(), watchers.add()]
    until(lambda: starts(folder))
    for watcher in both:
        watcher.terminate()
    assert sorted(map(said, both)) in (["ended", "let go"], ["ended", "ended"])
    assert not alive(starts(folder)[0])


def test_who_comes_while_a_job_is_being_ended_starts_it_anew(folder: Path, watchers: Watchers) -> None:
    first = watchers.add()
    until(lambda: starts(folder))
    first.kill()
    first.wait()
    with try_lock(folder / "watched") as ending:
        assert ending
        second = watchers.start()
        watchers.all.append(second)
        # It has come as far as it can.
        until(lambda: not _free(folder / "lock"))
        os.killpg(starts(folder)[0], signal.SIGKILL)
        until(lambda: not alive(starts(folder)[0]))
    assert said(second) == "watching"
    until(lambda: len(starts(folder)) == 2)
    (folder / "go").touch()
    assert result(second).failure is None


def _free(lock: Path) -> bool:
    with try_lock(lock) as free:
        return free


def test_who_notices_late_that_a_job_ended_does_not_hide_the_one_started_since(folder: Path, python: Path) -> None:
    late, given = LocalJob(folder), spec(until="go")
    late.submit(python, given, {})
    until(lambda: starts(folder))
    os.kill(starts(folder)[0], signal.SIGKILL)
    until(lambda: not alive(starts(folder)[0]))
    LocalJob(folder).submit(python, given, {})
    until(lambda: len(starts(folder)) == 2)
    assert late.wait(lambda line: None).failure
    assert LocalJob(folder).submit(python, given, {}), "nobody may start it a third time"


def test_a_number_that_another_process_has_now_is_not_the_job(folder: Path, python: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        folder.mkdir()
        (folder / "spec.json").write_text(spec(until="go").to_json())
        own = JobProcess(host=os.uname().nodename, boot_id=boot_id(), pid=other.pid, start_ticks=1)
        assert not own.alive()
        (folder / "job.json").write_text(own.to_json())
        (folder / "go").touch()
        attached, result, _ = run(folder, python, spec(until="go"))
        assert not attached and result.failure is None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"boot_id": "another"}])
def test_a_process_of_another_machine_or_an_earlier_start_is_not_alive(changed: dict[str, str]) -> None:
    own = JobProcess(host=os.uname().nodename, boot_id=boot_id(), pid=os.getpid(), start_ticks=start_ticks())
    assert own.alive() and not own.model_copy(update=changed).alive()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
