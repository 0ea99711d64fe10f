"""One change of what is champion at a time: it is read, changed and written back, and the aliases follow."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.host.file_lock import exclusive_lock
from tasks.release.record import release_folder
from tasks.settings import home


@contextmanager
def alone(repository: str) -> Iterator[None]:
    """Wait until nobody else on this host changes the repository's champions, and keep others waiting.

    Between hosts Airflow's pool of one slot sees to it; this holds also where somebody gave that pool more.
    """
    with exclusive_lock(home() / "locks" / f"{release_folder(repository).replace('/', '-')}champions.lock"):
        yield
