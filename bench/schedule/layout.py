"""Lays the tasks of a release out on a number of cores, as Airflow does, and says what no schedule could undercut.

Airflow starts ready tasks whose slots are free, those with the most tasks after them first (its weight rule
`downstream`). A task that does not fit waits, and smaller ones pass it.
"""

import heapq
from collections.abc import Callable, Mapping
from functools import cache

from bench.critical_path import Task, critical_path, work_bound
from bench.schedule.work import Work

Slots = Callable[[int | None, int], int]
"""The slots of a task, from the threads that help it and the cores of the host."""


def one_thread(threads: int | None, cores: int) -> int:
    """Give each task one core; a timing has all."""
    return cores if threads is None else 1


def half_the_host(threads: int | None, cores: int) -> int:
    """Give half of the host to each task that more threads help at all; a timing has all."""
    if threads is None:
        return cores
    return 1 if threads == 1 else max(1, cores // 2)


def as_declared(threads: int | None, cores: int) -> int:
    """Give each task the threads that help it, up to half of the host; a timing has all. This is what Hallmark does."""
    if threads is None:
        return cores
    return min(threads, max(1, cores // 2))


def laid_out(tasks: Mapping[str, Work], cores: int, slots: Slots) -> float:
    """Return the seconds until the last task has ended."""
    weights, waiting = _weights(tasks), {name: set(task.after) & set(tasks) for name, task in tasks.items()}
    free, now, unstarted = cores, 0.0, dict.fromkeys(tasks)
    running = list[tuple[float, str, int]]()
    while unstarted or running:
        for name in sorted(unstarted, key=lambda name: (-weights[name], name)):
            taken = slots(tasks[name].threads, cores) if tasks[name].pooled else 0
            if not waiting[name] and taken <= free:
                free -= taken
                del unstarted[name]
                heapq.heappush(running, (now + tasks[name].seconds_with(max(1, taken)), name, taken))
        now, ended, taken = heapq.heappop(running)
        free += taken
        for others in waiting.values():
            others.discard(ended)
    return now


def floor(tasks: Mapping[str, Work], cores: int) -> float:
    """Return the seconds that no schedule on so many cores could undercut.

    Each chain of tasks takes at least as long as its tasks do with all cores. All tasks together take at least as many
    core seconds as they do with one thread, because more threads only add to them.
    """
    fastest = {name: Task(task.seconds_with(cores), 0, task.after) for name, task in tasks.items()}
    least = {name: Task(task.seconds, _fewest_slots(task, cores), task.after) for name, task in tasks.items()}
    return max(critical_path(fastest), work_bound(least, cores))


def _fewest_slots(task: Work, cores: int) -> int:
    if not task.pooled:
        return 0
    return cores if task.threads is None else 1


def _weights(tasks: Mapping[str, Work]) -> dict[str, int]:
    followers: dict[str, set[str]] = {name: set() for name in tasks}
    for name, task in tasks.items():
        for before in task.after:
            if before in tasks:
                followers[before].add(name)

    @cache
    def below(name: str) -> frozenset[str]:
        return frozenset(followers[name]).union(*(below(follower) for follower in followers[name]))

    return {name: 1 + len(below(name)) for name in tasks}
