"""The task `promote`. It first writes the record of what is champion, in one write, and then sets MLflow's aliases.

If it is killed between two aliases, the next attempt finishes the work: aliases are always set from the record.
"""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.model import Model
from tasks.release.aliases import check_version, reconcile
from tasks.release.champions_lock import champions_lock
from tasks.release.current import Current, Mark, Names, Promoted, read_current, write_current
from tasks.release.record import Release
from tasks.release.registry import open_registry
from tasks.release.withheld import rolled_back_from, say_withheld, withheld


class PromoteParameters(Model):
    """No parameters: the release holds everything."""


def promote(parameters: PromoteParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make each passed version of the input `release` the champion of its model, and the old champion `previous`.

    A target that was blocked, failed or skipped keeps its old champion. So does one whose files a person rolled back:
    see tasks/release/withheld.py. Facts: `promoted` (registered models whose champion this release made), `champions`
    (registered model to version) and `withheld` (target to the release from which its files were rolled back).

    Raises Corrupt, and promotes nothing, where a version in MLflow is not the artifact in the store.
    """
    path = context.materialize("release") / "release.json"
    release = Release.read_file(path, f"release.json of {context.inputs['release'].key}")
    with champions_lock(release.repository):
        before = read_current(context.store, release.repository)
        after = promoted(before, release)
        registry = open_registry()
        if after != before:
            for name, names in after.names.items():
                if names != before.names.get(name):
                    check_version(name, names.champion, context.store, registry)
            write_current(context.store, after)
        reconcile(after, context.store, registry, context.progress)
    if kept_back := withheld(after, release):
        context.progress(say_withheld(kept_back))
    this = (release.release_id, release.recipe)
    return {
        "promoted": [
            name for name, names in after.names.items() if (names.champion.release_id, names.champion.recipe) == this
        ],
        "champions": {name: names.champion.version for name, names in after.names.items()},
        "withheld": kept_back,
    }


def promoted(current: Current, release: Release) -> Current:
    """Return the record after a release. A version that is champion already stays so, with its old entry.

    Files that a person rolled back are not promoted, whichever release has them.
    A release in which a target failed does not count as the recipe's last release, so a watcher tries its commit again.
    """
    names = dict(current.names)
    for target in release.passed:
        assert target.registered_name and target.version and target.files_digest
        if rolled_back_from(current, target):
            continue
        roles = names.get(target.registered_name)
        champion = roles.champion if roles else None
        if champion and (champion.version, champion.files_digest) == (target.version, target.files_digest):
            continue
        if champion and champion.version == target.version:
            # Somebody deleted the registered model, and MLflow counts versions from 1 again.
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
            # The champion lost its files, and this version has the same files again: the old one cannot be `previous`.
            previous = roles.previous if roles else None
        rolled_back = roles.rolled_back if roles else ()
        names[target.registered_name] = Names(champion=mark, previous=previous, rolled_back=rolled_back)
    recipes = dict(current.recipes)
    if all(target.outcome != "failed" for target in release.targets):
        recipes[release.recipe] = Promoted(release_id=release.release_id, commit=release.commit)
    return current.model_copy(update={"names": names, "recipes": recipes})
