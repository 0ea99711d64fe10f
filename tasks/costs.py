"""What a task costs, by the kernel's own accounts of this process and the children it has waited for."""

import os
import resource
import time

from tasks.host.proc import memory_fields, own_io, start_ticks
from tasks.manifest import Cost


def process_cost() -> Cost:
    """Return what this process has used since it began, its imports and interpreter's start included.

    Wall and CPU seconds, the peak resident memory of the largest single process, and the bytes passed through system
    calls (`rchar`, `wchar` of proc(5)): files, pipes and sockets, but nothing that is read through a memory map.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Not ru_maxrss: a started process begins with the peak of the one that started it.
    own_peak, counters = memory_fields("self")["VmHWM"], own_io()
    return Cost(
        wall_seconds=round(time.clock_gettime(time.CLOCK_BOOTTIME) - _started(), 3),
        cpu_seconds=round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        peak_memory_bytes=max(own_peak, children.ru_maxrss * 1024),
        bytes_read=counters["rchar"],
        bytes_written=counters["wchar"],
    )


def _started() -> float:
    """Return the seconds from the machine's start to this process's."""
    return (start_ticks("self") or 0) / os.sysconf("SC_CLK_TCK")
