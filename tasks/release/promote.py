"""Promote: the record of what is champion is changed first, in one piece; MLflow's aliases then follow it.

A crash between two aliases is finished by the next try, for the aliases are always set from the record.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.model import Model
from tasks.release.aliases import reconcile
from tasks.release.champions_lock import champions_lock
from tasks.release.current import Current, Mark, Names, Promoted, read_current, write_current
from tasks.release.record import Release
from tasks.release.registry import open_registry


class PromoteParameters(Model):
    """Nothing: the release says all."""


def promote(parameters: PromoteParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make every version that the input `release` passed its name's champion, and what was champion `previous`.

    A target that was blocked, failed or skipped keeps its old champion. Facts: `promoted` (names whose champion
    this release made) and `champions` (name to version).
    """
    path = context.materialize("release") / "release.json"
    release = Release.read_file(path, f"release.json of {context.inputs['release'].key}")
    with champions_lock(release.repository):
        before = read_current(context.store, release.repository)
        after = promoted(before, release)
        if after != before:
            write_current(context.store, after)
        reconcile(after, open_registry(), context.progress)
    return {
        "promoted": [name for name, names in after.names.items() if names.champion.release_id == release.release_id],
        "champions": {name: names.champion.version for name, names in after.names.items()},
    }


def promoted(current: Current, release: Release) -> Current:
    """Return what is champion after a release; a version that is champion already changes nothing.

    A release in which a target failed does not count as the recipe's last, so that a watcher tries its commit again.
    """
    names = dict(current.names)
    for target in release.passed:
        assert target.registered_name and target.version and target.files_digest
        champion = names[target.registered_name].champion if target.registered_name in names else None
        if champion and (champion.version, champion.files_digest) == (target.version, target.files_digest):
            continue
        if champion and champion.version == target.version:
            # Somebody deleted the registered model, and MLflow counts from 1 again.
            champion = None
        mark = Mark(
            target=target.target,
            version=target.version,
            release_id=release.release_id,
            recipe=release.recipe,
            commit=release.commit,
            files_digest=target.files_digest,
        )
        previous = champion
        if champion and champion.files_digest == target.files_digest:
            # The same files at another place, because the champion has lost them: there is no way back to that.
            previous = names[target.registered_name].previous
        names[target.registered_name] = Names(champion=mark, previous=previous)
    recipes = dict(current.recipes)
    if all(target.outcome != "failed" for target in release.targets):
        recipes[release.recipe] = Promoted(release_id=release.release_id, commit=release.commit)
    return current.model_copy(update={"names": names, "recipes": recipes})
