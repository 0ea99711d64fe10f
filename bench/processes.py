"""What all processes below this one have used so far, by the kernel's accounts; those that have ended are counted.

This process makes itself a child subreaper, so that whatever is started, detached or not, stays below it. A process
that has ended and was waited for is in its parent's accounts; one that nobody has waited for is still in /proc.
"""

import ctypes
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36
COUNTERS = {"rchar": "read_chars", "wchar": "write_chars", "read_bytes": "read_bytes", "write_bytes": "write_bytes"}
"""The counters of /proc/PID/io, and what psutil calls them."""

SERVERS = {
    "airflow": "airflow",
    "deploy.local.scheduler": "airflow",
    "deploy.local.s3_server": "s3",
    "deploy.local.hub_mirror": "hub",
    "mlflow": "mlflow",
}
"""A word of a command line, and the part of the stack that it belongs to; what a server starts belongs to it, too."""

REST = "rest"


@dataclass(frozen=True)
class Usage:
    """CPU seconds, and bytes as /proc/PID/io counts them: through system calls (rchar, wchar) and from and to disks."""

    cpu: float = 0.0
    rchar: int = 0
    wchar: int = 0
    read_bytes: int = 0
    write_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, name) - getattr(other, name) for name in self.__dataclass_fields__))


def become_subreaper() -> None:
    """Have orphans of everything below this process become its children, and not init's."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def usage_by_part() -> dict[str, Usage]:
    """Return what was used so far: by each server of the stack, and as `rest` by every other process, ended or not."""
    found = {name: Usage() for name in (*SERVERS.values(), REST)}
    for pid, part in descendants().items():
        found[part] += _usage(pid)
    found[REST] += _ended()
    return found


def descendants() -> dict[int, str]:
    """Return the processes below this one, each with the part that it belongs to."""
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
    parts: dict[int, str] = {}
    below, me = [], os.getpid()
    for child, parent in parents.items():
        if parent == me:
            below.append(child)
    for pid in below:
        inherited = parts.get(parents[pid], REST)
        parts[pid] = _part(pid) if inherited == REST else inherited
        below += [child for child, parent in parents.items() if parent == pid]
    return parts


def memory_bytes(pids: Mapping[int, str]) -> int:
    """Return the resident bytes of processes: pages that n of them share count 1/n each (PSS)."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().pss
    return total


def _part(pid: int) -> str:
    with suppress(psutil.Error):
        for word in " ".join(psutil.Process(pid).cmdline()).split():
            # A program's name and not its folder's: an interpreter may lie anywhere.
            if part := SERVERS.get(word.rpartition("/")[2]):
                return part
    return REST


def _usage(pid: int) -> Usage:
    """Return what a process and those it has waited for have used; of one that is gone by now, nothing."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        times = process.cpu_times()
        cpu = times.user + times.system + times.children_user + times.children_system
        with suppress(psutil.Error):
            return Usage(cpu, **_counters(process.io_counters()))
        return Usage(cpu)
    return Usage()


def _ended() -> Usage:
    """Return what this process's own children used that it has waited for; its own use is taken off."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = _counters(psutil.Process().io_counters())
    own = dict.fromkeys(COUNTERS, 0)
    # psutil has no counters of single threads.
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for line in (thread / "io").read_text().splitlines():
                name, value = line.split(": ")
                if name in own:
                    own[name] += int(value)
    return Usage(children.ru_utime + children.ru_stime, **{name: whole[name] - own[name] for name in COUNTERS})


def _counters(counted: Any) -> dict[str, int]:
    return {name: getattr(counted, field) for name, field in COUNTERS.items()}
