"""The tasks of a release as they were measured, with one thread and with two."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.model import Model


class Work(Model):
    """One task.

    after: the tasks that it waits for.
    pooled: whether it takes slots of the pool of processors. Other tasks are light, and Airflow starts them at once.
    threads: how many threads help it, at most; None if it takes all of a host. See tasks.contract.TaskDefinition.
    seconds: its wall time with one thread, as Airflow saw it: with the start of its processes.
    parallel: the share of `seconds` that falls with the number of threads. 0 if it was not measured.
    """

    after: tuple[str, ...] = ()
    pooled: bool = True
    threads: int | None = 1
    seconds: float
    parallel: float = 0.0

    def seconds_with(self, threads: int) -> float:
        """Return its wall time with so many threads, by Amdahl's law.

        A task that takes all of a host measures a speed: it does a fixed number of repetitions, and the start of its
        engine and the reading of the file dominate. Its time is taken as constant.
        """
        if self.threads is None:
            return self.seconds
        return self.seconds * (1 - self.parallel + self.parallel / threads)


class Release(Model):
    """The tasks of one release, by name, and what was measured: the model, the machine, and the wall seconds."""

    model: str
    machine: str
    seconds: float
    tasks: Mapping[str, Work]


def read_release(path: Path) -> Release:
    """Return the release of a file."""
    return Release.from_json(path.read_bytes())


def parallel_share(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the share of a task that threads speed up, from its seconds with one thread and with two.

    The smallest time of each counts, because other work on the machine can only add to a time. By Amdahl's law, two
    threads take 1 - share / 2 of the time of one.
    """
    return min(1.0, max(0.0, 2 * (1 - min(two) / min(one))))
