"""The task `register`. It creates a version in MLflow for each artifact that passed, and writes the release's record.

The source of a version is the artifact in the store. A second run of the task finds what the first run made. Files that
are registered already, byte for byte, are not registered again, unless that version's files are gone. If something was
measured again, the version gets the new numbers.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import Corrupt, NotFound
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.release.current import read_last_promoted
from tasks.release.judge import AskedTarget, judge
from tasks.release.naming import registered_name
from tasks.release.record import (
    Release,
    ReleasedTarget,
    ReleaseId,
    read_release,
    release_name,
    write_release,
)
from tasks.release.registry import Registry, open_registry
from tasks.release.second_opinion import suspicion, unproven
from tasks.release.table import same_reason_above, verdict_line
from tasks.release.verify import verify_artifact
from tasks.release.version_files import file_check
from tasks.release.versions import is_unchanged, refresh_versions, register_new, same_as

AT_ONCE = 2
"""Artifacts that are verified side by side: the store sends one while this process hashes the other."""


class RegisterParameters(Model):
    """The release. `run` becomes the release's id; `registered_name` is the recipe's template.

    licence_link: where the licence's text is, if it is no file of the repository.
    """

    repository: Repository
    commit: Commit
    licence: str | None = None
    licence_link: str | None = None
    recipe: str
    registered_name: str = "{owner}--{name}--{target}"
    run: ReleaseId
    targets: tuple[AskedTarget, ...]


def register(parameters: RegisterParameters, context: TaskContext) -> Mapping[str, Any]:
    """Register the targets that passed and write the release record, also as `release.json`.

    Inputs: those of `tasks.release.judge.judge`, of all targets that came so far. An artifact that the store does not
    hold whole, or whose verdict is of other files, fails alone. If the reference is suspect, no target passes.
    Also the optional input `reference`: what evaluations computed from it is removed from this host.
    Facts: `release` (the record's name), `mlflow_run`, `unchanged_since`, `outcomes` and `reasons` by target,
    `new_versions`, and `shortcomings`: what did not end as the recipe demands.
    """
    if "reference" in context.inputs:
        # All evaluations have ended, so the source's rows are needed no more.
        context.drop_workspace("reference")
    names = {
        asked.target.name: registered_name(parameters.registered_name, parameters.repository, asked.target.name)
        for asked in parameters.targets
    }
    registry = open_registry()
    judged = [judge(asked, context) for asked in parameters.targets]
    if doubt := suspicion(parameters.targets, context):
        context.progress(doubt)
        judged = [unproven(target, doubt) for target in judged]
    release = Release(
        release_id=parameters.run,
        repository=parameters.repository,
        commit=parameters.commit,
        licence=parameters.licence or "not stated",
        licence_link=parameters.licence_link,
        recipe=parameters.recipe,
        created=_created(parameters, context),
        targets=_verify(
            [_find(target, names[target.target], parameters, registry, context) for target in judged], context
        ),
    )
    earlier = read_last_promoted(context.store, release.repository, release.recipe)
    if earlier and is_unchanged(release, earlier):
        release = same_as(release, earlier)
    else:
        release = register_new(release, context.inputs, context.store, registry)
    refresh_versions(release, context.inputs, registry)
    write_release(context.store, release)
    (context.output / "release.json").write_text(release.to_json(), encoding="utf-8")
    same = same_reason_above(release.targets)
    for target in release.targets:
        context.progress(f"{target.target} {verdict_line(target, same.get(target.target))}")
    return {
        "release": release.name,
        "mlflow_run": release.mlflow_run,
        "unchanged_since": release.unchanged_since,
        "outcomes": {target.target: target.outcome for target in release.targets},
        "reasons": {target.target: target.reason for target in release.targets},
        "new_versions": [f"{target.registered_name}/{target.version}" for target in release.targets if target.new],
        "shortcomings": release.shortcomings,
    }


def _find(
    target: ReleasedTarget, name: str, parameters: RegisterParameters, registry: Registry, context: TaskContext
) -> ReleasedTarget:
    """Name a passed target. Find the version that already has its files; without one, the target is new."""
    if target.outcome != "passed" or target.files_digest is None:
        return target
    artifact = context.inputs[f"artifact:{target.target}"]
    known = registry.find_version(name, target.files_digest, file_check(artifact, context.store))
    version, new = (known.version, known.is_made_by(parameters.run, parameters.recipe)) if known else (None, True)
    return target.model_copy(update={"registered_name": name, "version": version, "new": new})


def _verify(targets: Sequence[ReleasedTarget], context: TaskContext) -> tuple[ReleasedTarget, ...]:
    """Verify the files of the targets that become versions now. One whose files are not whole has failed."""

    def verified(target: ReleasedTarget) -> ReleasedTarget:
        if not target.new or target.version is not None:
            return target
        artifact = context.inputs[f"artifact:{target.target}"]
        context.progress(f"verifying {target.target}: {len(artifact.files)} files, {artifact.size / 1e6:.1f} MB")
        try:
            verify_artifact(context.store, artifact)
        except Corrupt as error:
            failed = {"outcome": "failed", "reason": str(error), "registered_name": None, "new": False}
            return target.model_copy(update=failed)
        return target

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return tuple(pool.map(verified, targets))
    finally:
        # On SIGTERM, the process ends at once, and does not wait until the files are hashed.
        pool.shutdown(wait=False, cancel_futures=True)


def _created(parameters: RegisterParameters, context: TaskContext) -> datetime:
    """Return when this release was first recorded. A retry does not change it."""
    name = release_name(parameters.repository, parameters.recipe, parameters.run)
    try:
        return read_release(context.store, name).created
    except NotFound:
        return datetime.now(UTC)
