"""Run a model task in its runtime on this host, detached, so that it outlives the Airflow process that started it.

Every job has a folder, named by what it makes:

    spec.json      what it was told
    job.json       host, boot id, process id and start time: enough to know the same process again
    log.txt        all that it said
    result.json    written whole by the job as its last act
    lock           held while one finds out whether to attach or to start
    watched        held, together with others, by each that watches the job: who is told to end it lets go while there
                   are others

An Airflow retry on the same host finds the job and goes on watching it; elsewhere, or after a restart of the machine,
the job is started again. What a job started belongs to its process group, and is killed when the job has ended, however
that was.
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

from operators.memory_watch import MemoryWatch
from operators.missing_result import why_no_result
from tasks.contract import Failure, Result, Spec
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

KILL_AFTER_SECONDS = 10
"""What a job gets to clean up after SIGTERM before SIGKILL."""

OOM_SCORE = 500
"""The kernel, short of memory, kills what has the highest score: a job rather than Airflow or the registry."""


class JobProcess(Model):
    """A process, told apart from any later one with the same number."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether it still runs; always False seen from another host or after a restart of this one."""
        return self._of_this_start() and start_ticks(self.pid) == self.start_ticks

    def end_group(self) -> None:
        """Kill what still lives of its process group, which has its number; not if that is another's by now."""
        if self._of_this_start() and start_ticks(self.pid) in (None, self.start_ticks):
            end(self.pid)

    def _of_this_start(self) -> bool:
        return (self.host, self.boot_id) == (socket.gethostname(), boot_id())


class LocalJob:
    """One model task, running or finished, in its job folder."""

    def __init__(self, folder: Path, prediction: Prediction | None = None) -> None:
        """`prediction` is what preflight expects the job to need, where it said that; errors tell it."""
        self.folder = folder
        self._prediction = prediction
        self._memory = MemoryWatch(host_facts().memory_bytes, prediction.memory_bytes if prediction else None)
        self._child: subprocess.Popen[bytes] | None = None
        self._process: JobProcess | None = None
        self._watching = ExitStack()
        self._let_go = False

    def attach_or_start(self, python: Path, spec: Spec, environment: Mapping[str, str]) -> bool:
        """Attach to the job if it runs, or has succeeded without anybody noticing; else start it. True if attached.

        `environment` is all that the job sees of the world's variables.
        """
        with exclusive_lock(self.folder / "lock"):
            # Waits while somebody ends the job: then it is found dead.
            self._watching.enter_context(shared_lock(self.folder / "watched"))
            earlier = self._earlier()
            if earlier is not None and self._may_attach(earlier, spec):
                self._process = earlier
                return True
            if earlier is not None:
                # Never a second writer beside what the first has started.
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
            # A job that nobody knows of would be started a second time.
            self._process.end_group()
            raise
        raise_oom_score(self._child.pid, OOM_SCORE)

    def wait(self, on_line: Callable[[str], None]) -> Result:
        """Wait for the end, giving every line of the log to `on_line`; return the result, which may be a failure.

        A job that takes more memory than the host has is ended. Whoever has let go of a job waits no longer.
        """
        assert self._process is not None
        exceeded = False
        with (self.folder / "log.txt").open("rb") as log:
            while self._running():
                if self._let_go:
                    return _left()
                _pass_on(log, on_line)
                if self._memory.exceeded(self._process.pid):
                    exceeded = True
                    self._process.end_group()
                time.sleep(POLL_SECONDS)
            _pass_on(log, on_line, ended=True)
        self._process.end_group()
        result = Result(failure=self._memory.ended()) if exceeded else self._result()
        with exclusive_lock(self.folder / "lock"):
            # It has been noticed now: whoever asks for the same again, as by clearing the task, has it done again.
            if self._earlier() == self._process:
                (self.folder / "job.json").unlink()
        self._watching.close()
        return result

    def kill(self) -> bool:
        """End the job and everything it started: SIGTERM, then SIGKILL. False where others watch it: then it goes on.

        Of several that are told to end it at once, one does.
        """
        self._watching.close()
        if self._process is None or not self._process.alive():
            return True
        with try_lock(self.folder / "watched") as alone:
            if not alone:
                self._let_go = True
                return False
            os.killpg(self._process.pid, signal.SIGTERM)
            deadline = time.monotonic() + KILL_AFTER_SECONDS
            while self._running() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            # What it started may have outlived it.
            self._process.end_group()
        return True

    def _earlier(self) -> JobProcess | None:
        try:
            return JobProcess.from_json((self.folder / "job.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _may_attach(self, earlier: JobProcess, spec: Spec) -> bool:
        if earlier.alive():
            # What may differ between two specs of one job, as the threads, decides nothing of what it makes.
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
            # Airflow's signal to end the job came in between, and was the first to reap it; or the kernel did, which
            # keeps no children for a process that was started with SIGCHLD ignored.
            if child.returncode is None:
                self._child = None
            return
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            # That of the largest single process, of which the watch may have missed the last moments.
            self._memory.peak_bytes = max(self._memory.peak_bytes, used.ru_maxrss * 1024)

    def _result(self) -> Result:
        result_file = self.folder / "result.json"
        if not result_file.is_file():
            status = None if self._child is None else self._child.returncode
            return Result(failure=why_no_result(status, self.folder, self._memory))
        result = Result.read(result_file.read_bytes(), str(result_file), "clear the task to have it done again")
        if result.failure and result.failure.error == "OutOfMemory":
            return Result(failure=self._memory.failure(result.failure.message))
        if result.failure and result.failure.error == "DiskFull" and self._prediction:
            predicted = megabytes(self._prediction.disk_bytes)
            message = f"{result.failure.message} Preflight predicted that it needs {predicted} of disk."
            return Result(failure=result.failure.model_copy(update={"message": message}))
        return result


def _left() -> Result:
    message = "The task let go of its job, which goes on for another run that waits for it; clear the task to wait too."
    return Result(failure=Failure(kind="transient", error="ToolKilled", message=message))


def _pass_on(log: IO[bytes], on_line: Callable[[str], None], ended: bool = False) -> None:
    """Give complete lines; a half one waits for its end, unless the job has ended."""
    while True:
        position = log.tell()
        line = log.readline()
        if not line or not (ended or line.endswith(b"\n")):
            log.seek(position)
            return
        on_line(line.decode("utf-8", "replace").rstrip())
