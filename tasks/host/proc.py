"""What the kernel says in /proc (proc(5)). Other modules read it through this one.

psutil would do, but only the runtimes with Airflow have it. Files may be missing: a process ends at any time, and a
sandbox with a kernel of its own shows a part of /proc only. Each function says what it returns then.
"""

import os
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path("/proc")

STATE, PARENT, SESSION, START = 0, 1, 3, 19
"""Fields of /proc/PID/stat, counted from the one after the program's name."""

USED = slice(11, 15)
"""More of these fields: ticks that the process used, in user and in kernel mode, and the same for its dead children."""

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
"""The unit in which /proc counts processor time."""

GONE = (FileNotFoundError, ProcessLookupError)
"""What reading the files of a process raises once the process has ended."""

Process = int | Literal["self"]


@dataclass(frozen=True)
class Living:
    """A living process: its parent's id, its session, and its start in clock ticks since boot.

    Process ids are used again. Id and start together name one process of a boot.
    """

    parent: int
    session: int
    start: int


def lines(file: Path) -> list[str]:
    """Return the lines of one of the kernel's files; none where the file is missing."""
    try:
        return file.read_text().splitlines()
    except GONE:
        return []


def boot_id() -> str:
    """Return the id of the machine's present boot."""
    return (ROOT / "sys/kernel/random/boot_id").read_text().strip()


def process_ids() -> Iterator[int]:
    """Yield the ids of all processes, zombies included."""
    yield from (int(entry.name) for entry in ROOT.iterdir() if entry.name.isdigit())


def living(process: Process) -> Living | None:
    """Return what names a process and its place; None where it has ended or is a zombie."""
    fields = _stat_fields(process)
    if not fields or fields[STATE] == "Z":
        return None
    return Living(parent=int(fields[PARENT]), session=int(fields[SESSION]), start=int(fields[START]))


def start_ticks(process: Process) -> int | None:
    """Return a process's start in clock ticks since boot; None where it has ended or is a zombie."""
    found = living(process)
    return None if found is None else found.start


def descendants(process: Process) -> Iterator[int]:
    """Yield the ids of a process's living children, and of theirs; none where the kernel does not list them."""
    for file in (ROOT / str(process) / "task").glob("*/children"):
        for child in map(int, " ".join(lines(file)).split()):
            yield child
            yield from descendants(child)


def used_seconds(process: Process) -> float:
    """Return the processor time of a process and of its children that have ended; 0 where it has ended itself."""
    return sum(map(int, _stat_fields(process)[USED])) * TICK_SECONDS


def waited_seconds(process: Process) -> dict[int, float] | None:
    """Return how long each living thread of a process was ready to run and had no core, by the thread's id.

    None where the kernel does not count this (CONFIG_SCHED_INFO), and where the process has ended.
    """
    files = (ROOT / str(process) / "task").glob("*/schedstat")
    found = {int(file.parent.name): rows[0].split() for file in files if (rows := lines(file))}
    # Of each thread: nanoseconds on a core, nanoseconds waiting for one, time slices. Zeros where nothing is counted.
    ran = any(int(counts[0]) for counts in found.values())
    return {thread: int(counts[1]) / 1e9 for thread, counts in found.items()} if ran else None


def core_seconds(cores: Set[int]) -> tuple[float, float] | None:
    """Return how long these cores were busy, and for how long the hypervisor ran something else on them (steal).

    Seconds since boot, summed over the cores. None where the kernel does not show it, or shows zeros.
    """
    busy = stolen = 0
    for line in lines(ROOT / "stat"):
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            # user, nice, system, idle, iowait, irq, softirq, steal; the time of guests is in the first two, too.
            ticks = [*map(int, counts), *[0] * 8]
            busy += sum(ticks[:3]) + sum(ticks[5:7])
            stolen += ticks[7]
    return (busy * TICK_SECONDS, stolen * TICK_SECONDS) if busy else None


def memory_fields(process: Process) -> dict[str, int]:
    """Return the amounts in /proc/PID/status in bytes, such as `VmHWM` (peak resident); none where it has ended."""
    rows = (line.partition(":") for line in lines(ROOT / str(process) / "status"))
    return {name: int(value.split()[0]) * 1024 for name, _, value in rows if value.endswith(" kB")}


def proportional_bytes(process: Process) -> int:
    """Return a process's memory (PSS): a page that n processes share counts 1/n; 0 where this is not readable."""
    with suppress(PermissionError):
        for line in lines(ROOT / str(process) / "smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def own_io() -> dict[str, int]:
    """Return this process's counters of /proc/self/io, such as `rchar`: bytes that system calls read."""
    return {name: int(count) for name, _, count in (line.partition(":") for line in lines(ROOT / "self/io"))}


def processor_model() -> str | None:
    """Return the processor's model name; None where the kernel does not tell it."""
    for line in lines(ROOT / "cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def nvidia_gpus() -> int:
    """Return the number of GPUs that NVIDIA's driver shows."""
    return len(list((ROOT / "driver/nvidia/gpus").glob("*")))


def nvidia_model() -> str:
    """Return the name of the first GPU that NVIDIA's driver shows, such as `NVIDIA L4`."""
    for file in sorted((ROOT / "driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Model":
                return value.strip()
    return "a GPU without a name"


def raise_oom_score(pid: int, score: int) -> None:
    """Make the kernel, when memory runs out, kill this process before those with a lower score.

    A higher score stays: only a privileged process may lower it. Nothing happens where the process has ended, or where
    this is forbidden; the kernel then chooses by size.
    """
    file = ROOT / str(pid) / "oom_score_adj"
    with suppress(OSError):
        file.write_text(str(max(score, int(file.read_text()))))


def _stat_fields(process: Process) -> list[str]:
    """Return the fields of /proc/PID/stat after the program's name; none where the process has ended."""
    # The name, in parentheses, may hold spaces, parentheses and line ends.
    return "\n".join(lines(ROOT / str(process) / "stat")).rpartition(")")[2].split()
