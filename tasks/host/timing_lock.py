"""A lock per host: a timing runs while no other task of a pool runs there.

A pool's slots do not bind tasks to hosts, and a task by hand takes no slot. So each task of a pool holds the host's
lock while it works: shared with others, or, for a timing, alone. On its way to that lock it holds a second one in the
same manner: the turn.

The locks are the host's, whatever the pool, the state folder and the user: they are in a folder of memory that every
host has and that all its users may write to. Containers that share a host share the locks only if they share that
folder.

Guaranteed: once a timing has its turn, no later task starts before it. It waits for the tasks that already run, and for
no other, so a steady stream of tasks does not starve it. Nor do timings starve a task: it waits at most for those that
run or have their turn. Without a timing a task holds the turn for microseconds. Which of several waiters is next is the
kernel's choice.

The kernel frees the locks when their holder ends, also when it is killed. Where the slots of a pool are those of one
host, Airflow never starts a task beside a timing, and nothing waits here.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tasks.host.file_lock import exclusive_lock, shared_lock
from tasks.settings import home

FOLDER = Path("/dev/shm")  # noqa: S108  # a lock holds nothing that another user may not see or change
"""Not /tmp: hosts remove old files there, and a variable may name another one."""


@contextmanager
def timing_lock(alone: bool, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold this host's lock, alone or together with others; `on_wait` is called once where it is not free."""
    busy, turn = _file("hallmark-timing"), _file("hallmark-timing-turn")
    reported = False

    def report() -> None:
        nonlocal reported
        if not reported:
            reported = True
            on_wait()

    with ExitStack() as held:
        lock = exclusive_lock if alone else shared_lock
        with lock(turn, report):
            held.enter_context(lock(busy, report))
        yield


def _file(name: str) -> Path:
    """Return a file of FOLDER that every user can open; of the state folder on a host without FOLDER."""
    if not os.access(FOLDER, os.W_OK):
        return home() / "locks" / name
    file = FOLDER / name
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL))
        # Whatever the umask: a lock needs to be opened for reading.
        file.chmod(0o644)
    return file
