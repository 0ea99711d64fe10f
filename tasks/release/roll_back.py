"""The task `roll_back`. It makes the champion from before a release the champion again. It deletes nothing."""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe, NotFound
from tasks.model import Model
from tasks.names import Repository, did_you_mean
from tasks.release.aliases import check_version, reconcile
from tasks.release.champions_lock import champions_lock
from tasks.release.current import Current, Names, read_current, write_current
from tasks.release.record import ReleaseId, release_folder
from tasks.release.registry import Registry, open_registry
from tasks.store.base import Store


class RollBackParameters(Model):
    """The release to roll back, by its id. `targets` limits the roll-back to some of its targets."""

    repository: Repository
    release: ReleaseId
    targets: tuple[str, ...] = ()


def roll_back(parameters: RollBackParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make `previous` the champion again, for every registered model whose champion belongs to the release.

    A second run changes nothing, because the release is then champion nowhere. Facts: `rolled_back`, the names of the
    registered models.

    Raises InvalidRecipe where there was no champion before, and NotFound for an unknown release or where the earlier
    champion was deleted from MLflow, and Corrupt where the earlier champion in MLflow is not the artifact in the store.
    Nothing is changed in these cases.
    """
    _check_known(parameters, context.store)
    with champions_lock(parameters.repository):
        before = read_current(context.store, parameters.repository)
        after, registry = rolled_back(before, parameters), open_registry()
        if after != before:
            _check_there(before, after, context.store, registry)
            write_current(context.store, after)
        reconcile(after, context.store, registry, context.progress)
    return {"rolled_back": [name for name in after.names if after.names[name] != before.names[name]]}


def _check_known(parameters: RollBackParameters, store: Store) -> None:
    names = [found.name for found in store.list(release_folder(parameters.repository))]
    known = [name.rpartition("/")[2].removesuffix(".json") for name in names if name.endswith(".json")]
    if parameters.release not in known:
        raise NotFound(
            f"There is no release {parameters.release!r} of {parameters.repository}"
            f"{did_you_mean(parameters.release, [name for name in known if name != 'current'])}."
        )


def _check_there(before: Current, after: Current, store: Store, registry: Registry) -> None:
    for name, names in after.names.items():
        if names == before.names[name]:
            continue
        version = names.champion.version
        if registry.find(name, version) is None:
            raise NotFound(
                f"{name}: version {version}, the champion before, was deleted from MLflow; "
                f"release commit {names.champion.commit} again instead."
            )
        check_version(name, names.champion, store, registry)


def rolled_back(current: Current, parameters: RollBackParameters) -> Current:
    """Return the record after the roll-back."""
    names = dict(current.names)
    for name, roles in current.names.items():
        chosen = not parameters.targets or roles.champion.target in parameters.targets
        if roles.champion.release_id != parameters.release or not chosen:
            continue
        if roles.previous is None:
            raise InvalidRecipe(
                f"{name} had no champion before {parameters.release}, so a roll-back is not possible; "
                "limit the roll-back to other targets with 'targets'."
            )
        names[name] = Names(champion=roles.previous)
    return current.model_copy(update={"names": names})
