"""How fast a graph could be: by its dependencies alone, and by its dependencies and the processors there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tasks.host.facts import host_facts


@dataclass(frozen=True)
class Task:
    """A task's seconds, the slots of the pool of processors that it takes, and the tasks that it waits for."""

    seconds: float
    slots: int
    after: Sequence[str]


def critical_path(tasks: Mapping[str, Task]) -> float:
    """Return the seconds of the longest chain of dependencies: what no number of processors could undercut."""

    @cache
    def end(name: str) -> float:
        task = tasks[name]
        return task.seconds + max((end(before) for before in task.after if before in tasks), default=0.0)

    return max(map(end, tasks))


def lower_bound(tasks: Mapping[str, Task], cores: int | None = None) -> float:
    """Return the seconds that no schedule on so many processors (this host's, where None) could undercut."""
    return max(critical_path(tasks), work_bound(tasks, cores or host_facts().cores))


def work_bound(tasks: Mapping[str, Task], slots: int) -> float:
    """Return the seconds of the pool's work, spread over its slots without a gap; 0 if no task takes a slot.

    Before and after it come the chains of other tasks that lead to its first task and away from its last.
    """
    work = sum(task.seconds * min(task.slots, slots) for task in tasks.values()) / slots
    pooled = {name for name, task in tasks.items() if task.slots}
    if not pooled:
        return 0.0

    @cache
    def head(name: str) -> float:
        return max(
            (head(before) + tasks[before].seconds for before in tasks[name].after if before in tasks), default=0.0
        )

    followers: dict[str, list[str]] = {name: [] for name in tasks}
    for name, task in tasks.items():
        for before in task.after:
            if before in tasks:
                followers[before].append(name)

    @cache
    def tail(name: str) -> float:
        return max((tail(next_) + tasks[next_].seconds for next_ in followers[name]), default=0.0)

    return min(map(head, pooled)) + work + min(map(tail, pooled))
