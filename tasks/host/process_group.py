"""A process group, which a job leads and all that it starts belongs to: who still lives in it, and what it holds.

The kernel has no list of a group's members, so all processes are asked for theirs: a few microseconds each.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

STATE, START = 0, 19
"""Fields of /proc/PID/stat, counted from the one after the name; START is in clock ticks since boot."""

GONE_SECONDS = 10
"""How long killed processes may take to go; one with tens of GB needs seconds."""


def start_ticks(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot, which tells it from a later one with its number.

    None where it is gone or a zombie.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat[STATE] == "Z" else int(stat[START])


def members(group: int) -> Iterator[int]:
    """Yield the ids of the group's living processes."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    yield from (pid for pid in pids if _group(pid) == group and start_ticks(pid) is not None)


def memory_held(group: int) -> int:
    """Return the bytes that the group's processes hold and the kernel cannot take back.

    Anonymous and shared memory; not the pages of mapped files, of which engines map whole models.
    """
    return sum(_held(pid) for pid in members(group))


def end(group: int) -> None:
    """Kill the group and wait until nothing of it lives."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + GONE_SECONDS
        while any(members(group)) and time.monotonic() < deadline:
            time.sleep(0.02)


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
