"""What is champion now, of one repository and all of its recipes; MLflow's aliases follow this record.

It lies at `releases/<owner>--<name>/current.json`, one object, so that a whole release becomes champion in one write.
"""

from tasks.errors import NotFound
from tasks.manifest import Sha256
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.records import Record
from tasks.release.record import Release, ReleaseId, read_release, release_folder, release_name
from tasks.store.base import Store


class Mark(Model):
    """One registered version in a role: which release made it, and from which commit and artifact."""

    target: str
    version: str
    release_id: ReleaseId
    recipe: str
    commit: Commit
    files_digest: Sha256


class Names(Model):
    """The roles of one registered model's versions."""

    champion: Mark
    previous: Mark | None = None


class Promoted(Model):
    """The last release of one recipe that was promoted."""

    release_id: ReleaseId
    commit: Commit


class Current(Record):
    """The truth about what is champion, of one repository; written in one piece, and MLflow's aliases follow it."""

    repository: Repository
    names: dict[str, Names] = {}
    recipes: dict[str, Promoted] = {}


def current_name(repository: str) -> str:
    """Return the name in the store of a repository's Current."""
    return f"{release_folder(repository)}current.json"


def read_current(store: Store, repository: str) -> Current:
    """Return what is champion now, an empty Current where nothing has been; raises Corrupt."""
    name = current_name(repository)
    try:
        found = store.get_bytes(name)
    except NotFound:
        return Current(repository=repository)
    return Current.read(found, f"{store.url}/{name}, which says what is champion,", "restore it from a backup")


def write_current(store: Store, current: Current) -> None:
    """Change what is champion, in one write."""
    store.put_bytes(current_name(current.repository), current.to_json().encode())


def read_last_promoted(store: Store, repository: str, recipe: str) -> Release | None:
    """Return the recipe's last promoted release of a repository, or None."""
    promoted = read_current(store, repository).recipes.get(recipe)
    if promoted is None:
        return None
    return read_release(store, release_name(repository, recipe, promoted.release_id))


def last_released_commit(store: Store, repository: str, recipe: str) -> str | None:
    """Return the commit of a recipe's last promoted release, or None: what a watcher compares the Hub's with."""
    promoted = read_current(store, repository).recipes.get(recipe)
    return promoted.commit if promoted else None
