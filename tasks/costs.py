"""What a task costs, by the kernel's own accounts of this process and the children it has waited for."""

import os
import resource
import time
from pathlib import Path

from tasks.manifest import Cost


def process_cost() -> Cost:
    """Return what this process has used since it began, its imports and interpreter's start included.

    Wall and CPU seconds, the peak resident memory of the largest single process, and the bytes passed through system
    calls (`rchar`, `wchar` of proc(5)): files, pipes and sockets, but nothing that is read through a memory map.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Not ru_maxrss: that of a started process begins with what the one that started it had.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own_peak = int(status["VmHWM"].split()[0])
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return Cost(
        wall_seconds=round(time.clock_gettime(time.CLOCK_BOOTTIME) - _started(), 3),
        cpu_seconds=round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        peak_memory_bytes=max(own_peak, children.ru_maxrss) * 1024,
        bytes_read=int(counters["rchar"]),
        bytes_written=int(counters["wchar"]),
    )


def _started() -> float:
    """Seconds from the machine's start to this process's (field 22 of /proc/self/stat, in clock ticks)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
