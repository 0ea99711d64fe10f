"""A lock per host: a timing runs while no other task of a pool runs there.

A pool's slots do not bind tasks to hosts, and a task by hand takes no slot. So each task of a pool holds the host's
lock while it works: shared with others, or, for a timing, alone. On its way to that lock it holds a second one in the
same manner: the turn.

Guaranteed: once a timing has its turn, no later task starts before it. It waits for the tasks that already run, and for
no other, so a steady stream of tasks does not starve it. Nor do timings starve a task: it waits at most for those that
run or have their turn. Without a timing a task holds the turn for microseconds. Which of several waiters is next is the
kernel's choice.

The kernel frees the locks when their holder ends, also when it is killed. Where the slots of a pool are those of one
host, Airflow never starts a task beside a timing, and nothing waits here.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tasks.host.file_lock import exclusive_lock, shared_lock
from tasks.settings import home


@contextmanager
def timing_lock(alone: bool, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold this host's lock, alone or together with others; `on_wait` is called once where it is not free."""
    # State folders of several hosts may be one folder on a network.
    name = home() / "locks" / f"host-{socket.gethostname()}"
    reported = False

    def report() -> None:
        nonlocal reported
        if not reported:
            reported = True
            on_wait()

    with ExitStack() as held:
        lock = exclusive_lock if alone else shared_lock
        with lock(name.with_name(f"{name.name}-turn"), report):
            held.enter_context(lock(name, report))
        yield
