"""Limits of this process's control groups on memory and cores, and what the kernel did to keep them.

Both versions of control groups are read. A process belongs to one group, and the limits of the groups above it hold,
too.
"""

from collections.abc import Iterator
from pathlib import Path

from tasks.host import proc

GROUPS = proc.ROOT / "self/cgroup"
"""Each line: a hierarchy's number, its controllers (none in the second version), the group's name in it."""

ROOT = Path("/sys/fs/cgroup")

MACHINE = proc.ROOT / "vmstat"
"""Counts of the whole machine."""


def group_files(controller: str, first: str, second: str) -> Iterator[Path]:
    """Yield one file of each group: of the process's own group first, then of the groups above.

    controller: what the groups limit, "memory" or "cpu".
    first, second: the file's name in the first and in the second version of control groups.
    """
    for line in proc.lines(GROUPS):
        _, controllers, name = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root = ROOT / controllers
            own = root / name.lstrip("/")
            # Inside a container the name may be the host's; the container's own group is the root then.
            for group in (own, *own.parents):
                file = group / (first if controllers else second)
                if group.is_relative_to(root) and file.is_file():
                    yield file


def kernel_kills() -> int:
    """Return how many processes of this process's group the kernel has killed because memory ran out.

    Where the group has no count, the machine's is returned; 0 where that is missing, too (before Linux 4.13).
    """
    for file in (*group_files("memory", "memory.oom_control", "memory.events"), MACHINE):
        counts = dict(line.split() for line in proc.lines(file))
        if "oom_kill" in counts:
            return int(counts["oom_kill"])
    return 0


def memory_limits() -> list[int]:
    """Return the limits, in bytes, of the group and of those above; a group without a limit has no entry."""
    texts = [file.read_text().strip() for file in group_files("memory", "memory.limit_in_bytes", "memory.max")]
    return [int(text) for text in texts if text.isdigit()]


def core_limits() -> list[float]:
    """Return the quotas, in cores, of the group and of those above; a group without a quota has no entry."""
    limits = []
    for file in group_files("cpu", "cpu.cfs_quota_us", "cpu.max"):
        # Microseconds of processor time in each period. In the second version the period follows in the same line.
        quota, *period = file.read_text().split()
        if quota.isdigit():
            period = period or file.with_name("cpu.cfs_period_us").read_text().split()
            limits.append(int(quota) / int(period[0]))
    return limits


def throttled_seconds() -> float | None:
    """Return for how long the groups kept this process off cores because they had used up their quota.

    Summed over the cores and the groups, since the groups were made. None where no group has such a count.
    """
    counts = [dict(line.split() for line in proc.lines(file)) for file in group_files("cpu", "cpu.stat", "cpu.stat")]
    # The first version counts nanoseconds, the second microseconds.
    found = [
        int(count[name]) * unit
        for count in counts
        for name, unit in (("throttled_time", 1e-9), ("throttled_usec", 1e-6))
        if name in count
    ]
    return sum(found) if found else None
