"""The record of what is champion now, for one repository and all its recipes. MLflow's aliases follow this record.

It is one object in the store, `releases/<owner>--<name>/current.json`. One write therefore promotes a whole release.
"""

from typing import ClassVar

from tasks.errors import NotFound
from tasks.manifest import Sha256
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.records import Record
from tasks.release.record import Release, ReleaseId, read_release, release_folder, release_name
from tasks.store.base import Store


class Mark(Model):
    """One registered version that has a role: the release that made it, its commit and the digest of its files."""

    target: str
    version: str
    release_id: ReleaseId
    recipe: str
    commit: Commit
    files_digest: Sha256


class Names(Model):
    """The versions of one registered model that have a role.

    rolled_back: the champions that a person took back. A release of the same files does not promote them again.
    """

    champion: Mark
    previous: Mark | None = None
    rolled_back: tuple[Mark, ...] = ()


class Promoted(Model):
    """The last release of one recipe that was promoted."""

    release_id: ReleaseId
    commit: Commit


class Current(Record):
    """What is champion, for one repository.

    names: the roles, by the name of the registered model.
    recipes: the last promoted release, by the name of the recipe.

    Version 2 has `rolled_back`. Empty is right for earlier ones: nobody kept what was rolled back.
    """

    SCHEMA: ClassVar[int] = 2

    repository: Repository
    names: dict[str, Names] = {}
    recipes: dict[str, Promoted] = {}


def current_name(repository: str) -> str:
    """Return the name of a repository's record in the store."""
    return f"{release_folder(repository)}current.json"


def read_current(store: Store, repository: str) -> Current:
    """Return the record of a repository, empty where nothing was promoted yet; raises Corrupt where it is damaged."""
    name = current_name(repository)
    try:
        found = store.get_bytes(name)
    except NotFound:
        return Current(repository=repository)
    return Current.read(found, f"{store.url}/{name}, which says what is champion,", "restore it from a backup")


def write_current(store: Store, current: Current) -> None:
    """Write the record, in one write."""
    store.put_bytes(current_name(current.repository), current.to_json().encode())


def read_last_promoted(store: Store, repository: str, recipe: str) -> Release | None:
    """Return the recipe's last promoted release of a repository, or None."""
    promoted = read_current(store, repository).recipes.get(recipe)
    if promoted is None:
        return None
    return read_release(store, release_name(repository, recipe, promoted.release_id))


def last_released_commit(store: Store, repository: str, recipe: str) -> str | None:
    """Return the commit of a recipe's last promoted release, or None. A watcher compares it with the Hub's commit."""
    promoted = read_current(store, repository).recipes.get(recipe)
    return promoted.commit if promoted else None
