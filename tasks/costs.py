"""Measures the cost of a task from the kernel's counters, for this process and the children that it has waited for."""

import os
import resource
import time

from tasks.host.proc import memory_fields, own_io, start_ticks
from tasks.manifest import Cost


def process_cost() -> Cost:
    """Return the cost of this process since it started, including the start of the interpreter and all imports.

    Memory is the peak resident memory of the largest single process. Bytes read and written are those that passed
    through system calls (`rchar` and `wchar` of proc(5)): files, pipes and sockets, but not memory-mapped files.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Not ru_maxrss: a new process inherits the value of its parent.
    own_peak, counters = memory_fields("self")["VmHWM"], own_io()
    return Cost(
        wall_seconds=round(time.clock_gettime(time.CLOCK_BOOTTIME) - _started(), 3),
        cpu_seconds=round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        peak_memory_bytes=max(own_peak, children.ru_maxrss * 1024),
        bytes_read=counters["rchar"],
        bytes_written=counters["wchar"],
    )


def _started() -> float:
    """Return the seconds from the boot of the machine to the start of this process."""
    return (start_ticks("self") or 0) / os.sysconf("SC_CLK_TCK")
