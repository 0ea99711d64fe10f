"""A job's process group: which of its processes live, what memory they hold, and how to end it.

A job leads the group, and all that it starts belongs to it. The kernel keeps no list of a group's members, so all
processes are looked at: a few microseconds each.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from tasks.host.proc import memory_fields, process_ids, start_ticks

GONE_SECONDS = 10
"""How long killed processes may take to end; one with tens of GB needs seconds."""


def members(group: int) -> Iterator[int]:
    """Yield the ids of the group's living processes."""
    yield from (pid for pid in process_ids() if _group(pid) == group and start_ticks(pid) is not None)


def memory_held(group: int) -> int:
    """Return the bytes that the group's processes hold and the kernel cannot take back.

    This is anonymous and shared memory. Pages of mapped files do not count: engines map whole models.
    """
    held = (memory_fields(pid) for pid in members(group))
    return sum(fields.get("RssAnon", 0) + fields.get("RssShmem", 0) for fields in held)


def end(group: int) -> None:
    """Kill the group's processes and wait, up to GONE_SECONDS, until none lives."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + GONE_SECONDS
        while any(members(group)) and time.monotonic() < deadline:
            time.sleep(0.02)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
