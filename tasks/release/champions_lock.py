"""The lock on a repository's champions.

Promotion reads `current.json`, changes it, writes it back, and then sets MLflow's aliases. Two promotions at once would
lose one change or leave aliases that contradict the record. Between hosts, Airflow's pool `release` with its one slot
excludes them; the lock does so on one host, even where somebody gave the pool more slots.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.host.file_lock import exclusive_lock
from tasks.release.record import release_folder
from tasks.settings import home


@contextmanager
def champions_lock(repository: str) -> Iterator[None]:
    """Hold the lock on the repository's champions; wait while another process of this host holds it."""
    with exclusive_lock(home() / "locks" / f"{release_folder(repository).replace('/', '-')}champions.lock"):
        yield
