"""Processes of this machine: who holds a connection, which model tasks were started, and what is left of them."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.session import descendants
from operators.local_job import JobProcess
from tasks.contract import Spec

LOOK_SECONDS = 0.05
"""A model task takes longer than this to start its interpreter, so none begins and ends unseen."""


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits for its parent to notice has."""
    return _parent(pid) is None


def parent(pid: int) -> int:
    """Return the parent of a living process; raises ProcessLookupError where it has ended."""
    found = _parent(pid)
    if found is None:
        raise ProcessLookupError(pid)
    return found


def _parent(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[1])


def kill(pid: int) -> None:
    """SIGKILL a process and return when it is gone."""
    os.kill(pid, signal.SIGKILL)
    while not gone(pid):
        time.sleep(0.005)


def owner_of_port(port: int) -> int:
    """Return the process whose connection on the loopback address has this local port."""
    local = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == local}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()) in inodes:
                return int(link.parts[2])
    raise ProcessLookupError(f"no process holds port {port}")


def working_below(folder: Path) -> list[int]:
    """Return the processes whose working directory is below a folder: foreign tools work in a task's scratch folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink().is_relative_to(folder):
                found.append(int(link.parts[2]))
    return found


@dataclass(frozen=True)
class Start:
    """One start of a model task: the name of its job folder (the key, where it has one), its task, and when."""

    job: str
    task: str
    process: JobProcess
    time: float

    def children(self) -> list[int]:
        """What it has started and still runs."""
        return [pid for pid in descendants(self.process.pid) if pid != self.process.pid]


class JobWatcher:
    """Looks at the job folders of one home and remembers every start of a model task."""

    def __init__(self, home: Path) -> None:
        self._jobs = home / "jobs"
        self._ended = threading.Event()
        self._known: dict[tuple[str, int, int], Start] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "JobWatcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def starts(self) -> list[Start]:
        """Every start so far, the earliest first."""
        return list(self._known.values())

    def running(self) -> Iterator[Start]:
        """Those that run now."""
        return (start for start in self.starts() if start.process.alive())

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for record in self._jobs.glob("*/job.json"):
                with suppress(OSError, ValueError):
                    process = JobProcess.from_json(record.read_bytes())
                    job = record.parent.name
                    identity = (job, process.pid, process.start_ticks)
                    if identity not in self._known:
                        task = Spec.from_json((record.parent / "spec.json").read_bytes()).task
                        self._known[identity] = Start(job, task, process, time.monotonic())
