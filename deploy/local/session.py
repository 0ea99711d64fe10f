"""Finds the processes of the stack, also after supervisord has ended.

supervisord leads a Unix session, and every process that its components start stays in it. The environment of a process
cannot identify it, because Airflow's components overwrite it with their title.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deploy.local.private import write_private

STATE, PARENT, SESSION, START = 0, 1, 3, 19
"""Fields of /proc/PID/stat, counted from the one after the name; START is in clock ticks since boot."""


def remember_session(record: Path, leader: int) -> None:
    """Write down the session that this process leads."""
    told = {"boot": _boot(), "leader": leader, "start": _stat(leader)[START]}
    write_private(record, json.dumps(told))


def session_processes(record: Path) -> list[int]:
    """Return the ids of all processes of the recorded session, without its leader; empty if the session has ended."""
    try:
        told = json.loads(record.read_text())
    except FileNotFoundError:
        return []
    leader = told["leader"]
    if told["boot"] != _boot():
        return []
    with suppress(OSError):
        # The number leads a later session now.
        if _stat(leader)[START] != told["start"]:
            return []
    return [pid for pid, stat in _processes() if stat[SESSION] == str(leader) and pid != leader]


def orphans(record: Path) -> list[int]:
    """Return the processes whose component was killed: they are in the session, but not descendants of its leader."""
    remaining = session_processes(record)
    if not remaining:
        return []
    living = descendants(json.loads(record.read_text())["leader"])
    return [pid for pid in remaining if pid not in living]


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for child, stat in _processes():
        children.setdefault(int(stat[PARENT]), []).append(child)
    found = [pid]
    for current in found:
        found += children.get(current, [])
    return found


def memory_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants: pages shared by n processes count 1/n each."""
    total = 0
    for current in descendants(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{current}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                stat = _stat(int(entry.name))
                # Z: it has ended, and its parent has not asked how yet.
                if stat[STATE] != "Z":
                    yield int(entry.name), stat


def _stat(pid: int) -> list[str]:
    # The name in brackets may hold spaces and brackets.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
