"""Runs a model task in its runtime on this host, detached, so that the job outlives the process that started it.

Every job has a folder, named by what it makes:

    spec.json      the job's spec
    job.json       host, boot id, process id and start time: enough to recognize the process
    log.txt        the job's output
    result.json    written whole by the job as its last act
    lock           held by a watcher while it finds out whether to attach or to start
    watched        a shared lock of all watchers: a watcher whose Airflow task is stopped leaves the job to the others

A retry on the same host finds the job and attaches to it. On another host, or after a restart of the machine, the job
is started again. All processes that a job starts belong to its process group, and are killed when the job has ended.

Airflow's ResumableJobMixin is not used: it keeps a job's id per task instance, and here two runs that make the same
thing share one job, which they find by its key. It also stores the id only after the job was submitted, so a worker
that dies in between would leave a job that the retry does not find and starts a second time.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from operators.job_runner import JobStatus
from operators.memory_watch import MemoryWatch
from operators.missing_result import why_no_result
from tasks.contract import Failure, Result, Spec
from tasks.errors import ToolKilled
from tasks.formats.base import Prediction
from tasks.host.facts import host_facts
from tasks.host.file_lock import exclusive_lock, shared_lock, try_lock
from tasks.host.proc import boot_id, raise_oom_score, start_ticks
from tasks.host.process_group import end
from tasks.host.shortage import megabytes
from tasks.model import Model
from tasks.settings import REPOSITORY

POLL_SECONDS = 0.2
"""Short against a task's start (about 1 s), long against the cost of looking (microseconds)."""

KILL_AFTER_SECONDS = 3
"""A job may clean up for so long after SIGTERM; then it gets SIGKILL. Airflow kills the task's own process, which waits
for that, 5 s after its SIGTERM.
"""

LINE_BYTES = 8192
"""A longer line of the log is passed on in parts, because each look reads an incomplete line again."""

OOM_SCORE = 500
"""When memory runs out the kernel kills the highest score first: a job rather than Airflow or the registry."""


class JobProcess(Model):
    """A process, told apart from a later one with the same id."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Return whether it still runs; always False on another host and after a restart of this one."""
        return self._of_this_start() and start_ticks(self.pid) == self.start_ticks

    def end_group(self) -> None:
        """Kill what is left of its process group, unless the group's id belongs to another process by now."""
        if self._of_this_start() and start_ticks(self.pid) in (None, self.start_ticks):
            end(self.pid)

    def _of_this_start(self) -> bool:
        return (self.host, self.boot_id) == (socket.gethostname(), boot_id())


class LocalJob:
    """The job runner of this host (see operators/job_runner.py): one job in its folder."""

    def __init__(self, folder: Path, prediction: Prediction | None = None) -> None:
        """`prediction` is what preflight expects the job to need, where it predicts that; messages quote it."""
        self.folder = folder
        self._prediction = prediction
        self._memory = MemoryWatch(host_facts().memory_bytes, prediction.memory_bytes if prediction else None)
        self._child: subprocess.Popen[bytes] | None = None
        self._process: JobProcess | None = None
        self._watching = ExitStack()
        self._left = False

    def __str__(self) -> str:
        return str(self.folder)

    def submit(self, python: Path, spec: Spec, environment: Mapping[str, str]) -> bool:
        """Attach to the job where it runs or has succeeded unnoticed, else start it; return whether it attached.

        python: the interpreter of the runtime. environment: all variables that the job sees.
        """
        with exclusive_lock(self.folder / "lock"):
            # Waits while another watcher ends the job, which is found dead then.
            self._watching.enter_context(shared_lock(self.folder / "watched"))
            earlier = self._earlier()
            if earlier is not None and self._may_attach(earlier, spec):
                self._process = earlier
                return True
            if earlier is not None:
                # What the earlier job started must not write beside the new one.
                earlier.end_group()
            self._start(python, spec, environment)
        return False

    def _start(self, python: Path, spec: Spec, environment: Mapping[str, str]) -> None:
        for stale in ("result.json", "log.txt", "job.json"):
            (self.folder / stale).unlink(missing_ok=True)
        spec_file = self.folder / "spec.json"
        spec_file.write_text(spec.to_json(), encoding="utf-8")
        with (self.folder / "log.txt").open("wb") as log:
            self._child = subprocess.Popen(
                [python, "-m", "tasks", spec.task, spec_file, "--result", self.folder / "result.json"],
                cwd=REPOSITORY,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = JobProcess(
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=self._child.pid,
            start_ticks=start_ticks(self._child.pid) or 0,
        )
        try:
            (self.folder / "job.json").write_text(self._process.to_json(), encoding="utf-8")
        except OSError:
            # A job without this record would be started a second time.
            self._process.end_group()
            raise
        raise_oom_score(self._child.pid, OOM_SCORE)

    def wait(self, on_line: Callable[[str], None]) -> Result:
        """Wait for the job's end, give each line of its log to `on_line`, and return its result or its failure.

        A job that takes more memory than the host has is ended. A watcher that left the job to others waits no longer.
        """
        assert self._process is not None
        exceeded = False
        with (self.folder / "log.txt").open("rb") as log:
            while self._running():
                if self._left:
                    return _left_to_others()
                _pass_on(log, on_line)
                if self._memory.exceeded(self._process.pid):
                    exceeded = True
                    self._process.end_group()
                time.sleep(POLL_SECONDS)
            _pass_on(log, on_line, ended=True)
        self._process.end_group()
        result = Result(failure=self._memory.ended()) if exceeded else self._result()
        with exclusive_lock(self.folder / "lock"):
            # The end is noticed now: a cleared task, which asks for the same again, starts it again.
            if self._earlier() == self._process:
                (self.folder / "job.json").unlink()
        self._watching.close()
        return result

    def kill(self) -> bool:
        """End the job and all that it started: SIGTERM, then SIGKILL. Return False where others watch it: it goes on.

        If the tasks of all watchers are stopped at once, one watcher ends the job.
        """
        self._watching.close()
        if self._process is None or not self._process.alive():
            return True
        with try_lock(self.folder / "watched") as alone:
            if not alone:
                self._left = True
                return False
            os.killpg(self._process.pid, signal.SIGTERM)
            deadline = time.monotonic() + KILL_AFTER_SECONDS
            while self._running() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            # What the job started may still run.
            self._process.end_group()
        return True

    def status(self) -> JobStatus:
        """Return how far the job is, without attaching to it."""
        process = self._earlier()
        if process is None:
            return "absent"
        return "running" if process.alive() else "ended"

    def _earlier(self) -> JobProcess | None:
        try:
            return JobProcess.from_json((self.folder / "job.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _may_attach(self, earlier: JobProcess, spec: Spec) -> bool:
        if earlier.alive():
            # The folder's name says the key and all parameters. What else differs between two specs decides nothing.
            return True
        try:
            same = Spec.from_json((self.folder / "spec.json").read_bytes()) == spec
            succeeded = Result.from_json((self.folder / "result.json").read_bytes()).failure is None
        except (FileNotFoundError, ValueError):
            return False
        return same and succeeded and not spec.force

    def _running(self) -> bool:
        if self._child is not None and self._child.returncode is None:
            self._reap(self._child)
        if self._child is None:
            return self._process is not None and self._process.alive()
        return self._child.returncode is None

    def _reap(self, child: "subprocess.Popen[bytes]") -> None:
        try:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
        except ChildProcessError:
            # A signal handler of Airflow's reaped it first, or the kernel did: it keeps no zombies for a process that
            # was started with SIGCHLD ignored.
            if child.returncode is None:
                self._child = None
            return
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            # The kernel's own peak, of the largest single process: the watch may have missed the last moments.
            self._memory.peak_bytes = max(self._memory.peak_bytes, used.ru_maxrss * 1024)

    def _result(self) -> Result:
        result_file = self.folder / "result.json"
        if not result_file.is_file():
            status = None if self._child is None else self._child.returncode
            return Result(failure=why_no_result(status, self.folder, self._memory))
        result = Result.read(result_file.read_bytes(), str(result_file), "clear the task to have it done again")
        if result.failure and result.failure.cause == "out-of-memory":
            return Result(failure=self._memory.failure(result.failure.message))
        if result.failure and result.failure.cause == "disk-full" and self._prediction:
            predicted = megabytes(self._prediction.disk_bytes)
            message = f"{result.failure.message} Preflight predicted that it needs {predicted} of disk."
            return Result(failure=result.failure.model_copy(update={"message": message}))
        return result


def _left_to_others() -> Result:
    message = "The task was ended, but not its job, which goes on for another run; clear the task to wait for it again."
    return Result(failure=Failure.of(ToolKilled(message)))


def _pass_on(log: IO[bytes], on_line: Callable[[str], None], ended: bool = False) -> None:
    """Pass on complete lines; an incomplete one waits for its end, unless the job has ended.

    A carriage return ends a line, too. As on a terminal, the last of several states of a progress bar is seen.
    """
    while True:
        position = log.tell()
        line = log.readline(LINE_BYTES)
        if not (ended or line.endswith(b"\n")):
            # At a space, no character and no word is split.
            end = line.rfind(b" ") + 1 or LINE_BYTES if len(line) == LINE_BYTES else line.rfind(b"\r") + 1
            line = line[:end]
            log.seek(position + end)
        if not line:
            return
        on_line(line.strip(b"\r\n").rpartition(b"\r")[2].decode("utf-8", "replace").rstrip())
