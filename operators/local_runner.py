"""Run a model task in its runtime on this host, detached, so that it outlives the Airflow process that started it.

Every job has a folder, named by what it makes:

    spec.json      what it was told
    job.json       host, boot id, process id and start time: enough to know the same process again
    log.txt        all that it said
    result.json    written whole by the job as its last act
    lock           held while one finds out whether to attach or to start

An Airflow retry on the same host finds the job and goes on watching it; elsewhere, or after a restart of the machine,
the job is started again.
"""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from tasks.contract import Failure, Result, Spec
from tasks.model import Model
from tasks.settings import REPOSITORY

POLL_SECONDS = 0.2
"""Short against a task's start (about 1 s), long against the cost of looking (microseconds)."""

KILL_AFTER_SECONDS = 10
"""What a job gets to clean up after SIGTERM before SIGKILL."""

TOLD_LINES = 15


class JobProcess(Model):
    """A process, told apart from any later one with the same number."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether it still runs; always False seen from another host or after a restart of this one."""
        if (self.host, self.boot_id) != (socket.gethostname(), _boot_id()):
            return False
        return _start_ticks(self.pid) == self.start_ticks


class LocalJob:
    """One model task, running or finished, in its job folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._process: JobProcess | None = None

    def attach_or_start(self, python: Path, spec: Spec, environment: Mapping[str, str]) -> bool:
        """Attach to the job if it runs, or has succeeded without anybody noticing; else start it. True if attached.

        `environment` is all that the job sees of the world's variables.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._attach(spec):
                return True
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
        ticks = _start_ticks(self._child.pid)
        self._process = JobProcess(
            host=socket.gethostname(), boot_id=_boot_id(), pid=self._child.pid, start_ticks=ticks or 0
        )
        (self.folder / "job.json").write_text(self._process.to_json(), encoding="utf-8")

    def wait(self, on_line: Callable[[str], None]) -> Result:
        """Wait for the end, giving every line of the log to `on_line`; return the result, which may be a failure."""
        with (self.folder / "log.txt").open("rb") as log:
            while self._running():
                _pass_on(log, on_line)
                time.sleep(POLL_SECONDS)
            _pass_on(log, on_line, ended=True)
        result_file = self.folder / "result.json"
        result = Result.from_json(result_file.read_bytes()) if result_file.is_file() else Result(failure=self._died())
        # It has been noticed now: whoever asks for the same again, as by clearing the task, has it done again.
        (self.folder / "job.json").unlink(missing_ok=True)
        return result

    def kill(self) -> None:
        """End the job and everything it started: SIGTERM, then SIGKILL."""
        if self._process is None or not self._process.alive():
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        deadline = time.monotonic() + KILL_AFTER_SECONDS
        while self._running() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        # What it started may have outlived it, and is in its process group still.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _attach(self, spec: Spec) -> bool:
        try:
            same = Spec.from_json((self.folder / "spec.json").read_bytes()) == spec
            process = JobProcess.from_json((self.folder / "job.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        if not same:
            return False
        result = self.folder / "result.json"
        succeeded = result.is_file() and Result.from_json(result.read_bytes()).failure is None
        if process.alive() or (succeeded and not spec.force):
            self._process = process
            return True
        return False

    def _running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._process is not None and self._process.alive()

    def _died(self) -> Failure:
        """Why there is no result: a signal may be bad luck, an exit is a bug whose traceback is in the log."""
        lines = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        said = "\n".join(lines[-TOLD_LINES:]) or "it said nothing"
        status = None if self._child is None else self._child.returncode
        if status is not None and status > 0:
            return Failure(kind="terminal", error="Bug", message=f"The task ended with exit status {status}:\n{said}")
        ended = "while nobody watched" if status is None else f"by {signal.Signals(-status).name}"
        hint = " (the kernel does this when memory runs out)" if status == -signal.SIGKILL else ""
        return Failure(kind="transient", error="ToolKilled", message=f"The task was ended {ended}{hint}:\n{said}")


def _pass_on(log: IO[bytes], on_line: Callable[[str], None], ended: bool = False) -> None:
    """Give complete lines; a half one waits for its end, unless the job has ended."""
    while True:
        position = log.tell()
        line = log.readline()
        if not line or not (ended or line.endswith(b"\n")):
            log.seek(position)
            return
        on_line(line.decode("utf-8", "replace").rstrip())


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> int | None:
    """The process's start in clock ticks since boot (field 22 of /proc/PID/stat); None if gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])
