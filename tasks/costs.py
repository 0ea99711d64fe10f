"""What a task costs, by the kernel's own accounts of this process and the children it has waited for."""

import resource
import time
from pathlib import Path

from tasks.manifest import Cost


class CostMeter:
    """Started with the task; `cost()` gives what has been used since this process began."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def cost(self) -> Cost:
        """Return wall and CPU seconds, the peak resident memory of the largest single process, and bytes moved.

        Bytes are those passed through system calls (`rchar`, `wchar` of proc(5)): files, pipes and sockets, but nothing
        that is read through a memory map.
        """
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return Cost(
            wall_seconds=round(time.monotonic() - self._began, 3),
            cpu_seconds=round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
            peak_memory_bytes=max(own.ru_maxrss, children.ru_maxrss) * 1024,
            bytes_read=int(counters["rchar"]),
            bytes_written=int(counters["wchar"]),
        )
