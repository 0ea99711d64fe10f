"""The task `roll_back`. It makes the champion from before a release the champion again. It deletes nothing.

The files that were rolled back are not promoted again by a later release. `undo` makes them champion again.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import InvalidRecipe, NotFound
from tasks.model import Model
from tasks.names import Repository, did_you_mean
from tasks.plan.shared_reasons import list_names
from tasks.release.aliases import check_version, reconcile
from tasks.release.champions_lock import champions_lock
from tasks.release.current import Current, Mark, Names, read_current, write_current
from tasks.release.record import ReleaseId, release_folder
from tasks.release.registry import Registry, open_registry
from tasks.release.version_files import is_ours
from tasks.store.base import Store


class RollBackParameters(Model):
    """The release to roll back, by its id.

    targets: limits the roll-back to some targets of the release.
    undo: takes the roll-back of the release back: its versions become champion again.
    """

    repository: Repository
    release: ReleaseId
    targets: tuple[str, ...] = ()
    undo: bool = False

    def covers(self, mark: Mark) -> bool:
        """Return whether the version of this mark is to be rolled back, or its roll-back undone."""
        return mark.release_id == self.release and (not self.targets or mark.target in self.targets)


def roll_back(parameters: RollBackParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make `previous` the champion again, for every registered model whose champion belongs to the release.

    With `undo`, make the versions that were rolled back from the release the champions again. A second run changes
    nothing. Facts: `champions`, the new champion of each registered model whose champion has changed.

    Raises InvalidRecipe where there was no champion before, NotFound for an unknown release, for a release or a target
    of it that never became champion or no longer is, and where the earlier champion was deleted from MLflow, and
    Corrupt where the earlier champion in MLflow is not the artifact in the store.
    With `undo`, raises NotFound where MLflow has no version with these files. Nothing is changed in these cases.
    """
    _check_known(parameters, context.store)
    with champions_lock(parameters.repository):
        before = read_current(context.store, parameters.repository)
        _check_covered(before, parameters)
        registry = open_registry()
        if parameters.undo:
            after = undone(before, parameters, context.store, registry)
        else:
            after = rolled_back(before, parameters)
        if after != before:
            _check_there(before, after, context.store, registry)
            write_current(context.store, after)
        else:
            done = "is not rolled back" if parameters.undo else "was rolled back before"
            context.progress(f"{parameters.release} {done}; nothing is changed")
        reconcile(after, context.store, registry, context.progress)
    changed = {name: names for name, names in after.names.items() if names != before.names[name]}
    return {"champions": {name: names.champion.version for name, names in changed.items()}}


def _check_known(parameters: RollBackParameters, store: Store) -> None:
    names = [found.name for found in store.list(release_folder(parameters.repository))]
    known = [name.rpartition("/")[2].removesuffix(".json") for name in names if name.endswith(".json")]
    if parameters.release not in known:
        raise NotFound(
            f"There is no release {parameters.release!r} of {parameters.repository}"
            f"{did_you_mean(parameters.release, [name for name in known if name != 'current'])}."
        )


def _check_covered(current: Current, parameters: RollBackParameters) -> None:
    """Raise NotFound where no champion is of the release, and none that was rolled back: nothing would be changed."""
    marks = [mark for roles in current.names.values() for mark in (roles.champion, *roles.rolled_back)]
    known = sorted({mark.target for mark in marks if mark.release_id == parameters.release})
    if not known:
        releases: dict[str, list[str]] = {}
        for roles in current.names.values():
            releases.setdefault(roles.champion.release_id, []).append(roles.champion.target)
        there_are = "; ".join(f"{list_names(targets)}, of {release}" for release, targets in releases.items())
        raise NotFound(
            f"No champion of {parameters.repository} is of the release {parameters.release}, so nothing was changed; "
            f"name the release of a champion (there are: {there_are or 'none'})."
        )
    for target in parameters.targets:
        if target not in known:
            raise NotFound(
                f"The target {target!r} has no champion of the release {parameters.release}, so nothing was changed; "
                f"correct 'targets'{did_you_mean(target, known)}."
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
        if not parameters.covers(roles.champion):
            continue
        if roles.previous is None:
            raise InvalidRecipe(
                f"{name} had no champion before {parameters.release}, so a roll-back is not possible; "
                "limit the roll-back to other targets with 'targets'."
            )
        names[name] = Names(champion=roles.previous, rolled_back=(*roles.rolled_back, roles.champion))
    return current.model_copy(update={"names": names})


def undone(current: Current, parameters: RollBackParameters, store: Store, registry: Registry) -> Current:
    """Return the record after the roll-back was undone. The champion until now becomes `previous`."""
    names = dict(current.names)
    for name, roles in current.names.items():
        for mark in roles.rolled_back:
            if parameters.covers(mark):
                others = tuple(other for other in roles.rolled_back if other != mark)
                champion = _with_version(name, mark, store, registry)
                names[name] = Names(champion=champion, previous=roles.champion, rolled_back=others)
    return current.model_copy(update={"names": names})


def _with_version(name: str, mark: Mark, store: Store, registry: Registry) -> Mark:
    """Return the mark with the version that has its files now: a version that was lost may have been made again."""
    found = registry.find_version(name, mark.files_digest, lambda version: is_ours(version, mark.files_digest, store))
    if found is None:
        raise NotFound(
            f"{name}: no version in MLflow has the files that were rolled back from release {mark.release_id}; "
            f"release commit {mark.commit} again with the recipe {mark.recipe!r}, and then undo the roll-back."
        )
    return mark.model_copy(update={"version": found.version})
