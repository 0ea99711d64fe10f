"""Finds the processes of the stack, also after supervisord has ended.

supervisord leads a Unix session, and every process that its components start stays in it. The environment of a process
cannot identify it, because Airflow's components overwrite it with their title.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from deploy.local.private import write_private
from tasks.host.proc import Living, boot_id, living, process_ids, proportional_bytes, start_ticks


def remember_session(record: Path, leader: int) -> None:
    """Write down the session that this process leads."""
    write_private(record, json.dumps({"boot": boot_id(), "leader": leader, "start": start_ticks(leader)}))


def session_processes(record: Path) -> list[int]:
    """Return the ids of all processes of the recorded session, without its leader; empty if the session has ended."""
    try:
        recorded = json.loads(record.read_text())
    except FileNotFoundError:
        return []
    leader = recorded["leader"]
    if recorded["boot"] != boot_id():
        return []
    # An ended leader leaves its session; a later process with the same number leads another one.
    if start_ticks(leader) not in (None, int(recorded["start"])):
        return []
    return [pid for pid, process in _processes() if process.session == leader and pid != leader]


def orphans(record: Path) -> list[int]:
    """Return the processes whose component was killed: they are in the session, but not descendants of its leader."""
    remaining = session_processes(record)
    if not remaining:
        return []
    wanted = descendants(json.loads(record.read_text())["leader"])
    return [pid for pid in remaining if pid not in wanted]


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for child, process in _processes():
        children.setdefault(process.parent, []).append(child)
    found = [pid]
    for current in found:
        found += children.get(current, [])
    return found


def memory_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants: pages shared by n processes count 1/n each."""
    return sum(map(proportional_bytes, descendants(pid)))


def _processes() -> Iterator[tuple[int, Living]]:
    """Yield all living processes."""
    for pid in process_ids():
        if process := living(pid):
            yield pid, process
