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

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
COUNTERS = ("rchar", "wchar", "read_bytes", "write_bytes")
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
    parents = _parents()
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
        with suppress(OSError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                found[int(entry.name)] = int(_stat(int(entry.name))[1])
    return found


def _part(pid: int) -> str:
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        for word in command.split():
            # A program's name and not its folder's: an interpreter may lie anywhere.
            if part := SERVERS.get(word.rpartition("/")[2]):
                return part
    return REST


def _usage(pid: int) -> Usage:
    """Return what a process and those it has waited for have used; of one that is gone by now, nothing."""
    with suppress(OSError):
        stat = _stat(pid)
        cpu = sum(map(int, stat[11:15])) / TICKS
        with suppress(OSError):
            return Usage(cpu, **_counters(Path(f"/proc/{pid}/io")))
        return Usage(cpu)
    return Usage()


def _ended() -> Usage:
    """Return what this process's own children used that it has waited for; its own use is taken off."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = _counters(Path("/proc/self/io"))
    own = dict.fromkeys(COUNTERS, 0)
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            for name, value in _counters(thread / "io").items():
                own[name] += value
    return Usage(children.ru_utime + children.ru_stime, **{name: whole[name] - own[name] for name in COUNTERS})


def _counters(path: Path) -> dict[str, int]:
    lines = dict(line.split(": ") for line in path.read_text().splitlines())
    return {name: int(lines[name]) for name in COUNTERS}


def _stat(pid: int) -> list[str]:
    # The name in brackets may hold spaces and brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
