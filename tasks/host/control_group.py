"""The control groups that this process and all it starts are in: what memory they allow, and who died of it."""

from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
"""Lines of a hierarchy's number, its controllers (none in the second version), and the name of the group in it."""

ROOT = Path("/sys/fs/cgroup")

MACHINE = Path("/proc/vmstat")
"""Counts of the whole machine."""


def memory_files(first: str, second: str) -> Iterator[Path]:
    """Yield the files that hold one thing, of the process's own group and then of those above.

    `first` is the file's name in the first version of control groups, `second` in the second.
    """
    for line in _lines(GROUPS):
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):
            root = ROOT / controllers
            own = root / name.lstrip("/")
            # Inside a container the name may be the host's; the container's own group is the root then.
            for group in (own, *own.parents):
                file = group / (first if controllers else second)
                if group.is_relative_to(root) and file.is_file():
                    yield file


def kernel_kills() -> int:
    """Return how many processes of this process's group the kernel has killed because memory ran out.

    It counts since 4.13; where the group has no count of its own, it is that of the machine, if
    that has one.
    """
    for file in (*memory_files("memory.oom_control", "memory.events"), MACHINE):
        counts = dict(line.split() for line in _lines(file))
        if "oom_kill" in counts:
            return int(counts["oom_kill"])
    return 0


def memory_limits() -> list[int]:
    """Return the limits in bytes of the group and of those above, where they have any."""
    texts = [file.read_text().strip() for file in memory_files("memory.limit_in_bytes", "memory.max")]
    return [int(text) for text in texts if text.isdigit()]


def _lines(file: Path) -> list[str]:
    """Lines of one of the kernel's files; none where this kernel, as a sandbox's own, does not have it."""
    return file.read_text().splitlines() if file.exists() else []
