"""The task `register`. It creates a version in MLflow for each artifact that passed, and writes the release's record.

The source of a version is the artifact in the store. A second run of the task finds what the first run made. Files that
are registered already, byte for byte, are not registered again, unless that version's files are gone.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import Corrupt, NotFound
from tasks.evaluation.measurement import Measurement
from tasks.formats.base import Target
from tasks.gates.verdict import Verdict
from tasks.manifest import Manifest
from tasks.model import Model
from tasks.names import Commit, Repository
from tasks.release.current import read_last_promoted
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
from tasks.release.verify import verify_artifact
from tasks.release.version_files import file_check
from tasks.release.versions import is_unchanged, register_new, same_as


class PlannedTarget(Model):
    """One target of the recipe, and what the recipe demands of it.

    skipped: why the plan left it out, or None.
    failure: why it has no verdict, or None.
    """

    target: Target
    required: bool = True
    expect_blocked: bool = False
    skipped: str | None = None
    failure: str | None = None


class RegisterParameters(Model):
    """The release. `run` becomes the release's id; `registered_name` is the recipe's template."""

    repository: Repository
    commit: Commit
    licence: str | None = None
    recipe: str
    registered_name: str = "{owner}--{name}--{target}"
    run: ReleaseId
    targets: tuple[PlannedTarget, ...]


def register(parameters: RegisterParameters, context: TaskContext) -> Mapping[str, Any]:
    """Register the targets that passed and write the release record, also as `release.json`.

    Inputs: `artifact:<target>` and `verdict:<target>` (and `evaluation:<target>`, `benchmark:<target>`) of all targets
    that came so far. An artifact that the store does not hold whole, or whose verdict is of other files, fails alone.
    Facts: `release` (the record's name), `mlflow_run`, `unchanged_since`, `outcomes` and `reasons` by target,
    `new_versions`, and `shortcomings`: what did not end as the recipe demands.
    """
    names = {
        plan.target.name: registered_name(parameters.registered_name, parameters.repository, plan.target.name)
        for plan in parameters.targets
    }
    registry = open_registry()
    judged = [_judge(plan, context) for plan in parameters.targets]
    release = Release(
        release_id=parameters.run,
        repository=parameters.repository,
        commit=parameters.commit,
        licence=parameters.licence or "not stated",
        recipe=parameters.recipe,
        created=_created(parameters, context),
        targets=tuple(
            _find_or_verify(target, names[target.target], parameters.run, registry, context) for target in judged
        ),
    )
    earlier = read_last_promoted(context.store, release.repository, release.recipe)
    if earlier and is_unchanged(release, earlier):
        release = same_as(release, earlier)
    else:
        release = register_new(release, context.inputs, context.store, registry)
    write_release(context.store, release)
    (context.output / "release.json").write_text(release.to_json(), encoding="utf-8")
    for target in release.targets:
        context.progress(f"{target.outcome} {target.target}: {target.reason}")
    return {
        "release": release.name,
        "mlflow_run": release.mlflow_run,
        "unchanged_since": release.unchanged_since,
        "outcomes": {target.target: target.outcome for target in release.targets},
        "reasons": {target.target: target.reason for target in release.targets},
        "new_versions": [f"{target.registered_name}/{target.version}" for target in release.targets if target.new],
        "shortcomings": release.shortcomings,
    }


def _judge(plan: PlannedTarget, context: TaskContext) -> ReleasedTarget:
    """Return how a target ended, from its verdict, or from the reason why it has none."""
    name = plan.target.name
    artifact, verdict_manifest, evaluation, benchmark = (
        context.inputs.get(f"{kind}:{name}") for kind in ("artifact", "verdict", "evaluation", "benchmark")
    )
    target = ReleasedTarget(
        target=name,
        format=plan.target.format,
        outcome="failed",
        reason=plan.failure or "it has no verdict; see the run's log",
        required=plan.required,
        expect_blocked=plan.expect_blocked,
        files_digest=artifact.files_digest if artifact else None,
        size_bytes=artifact.size if artifact else None,
        artifact=_key(artifact),
        verdict=_key(verdict_manifest),
        evaluation=_key(evaluation),
        benchmark=_key(benchmark),
    )
    if plan.skipped is not None:
        return target.model_copy(update={"outcome": "skipped", "reason": plan.skipped})
    if artifact is None or verdict_manifest is None:
        return target
    verdict = _verdict(name, context)
    if (verdict.target, verdict.files_digest) != (name, artifact.files_digest):
        return target.model_copy(update={"reason": f"its verdict is of other files: {verdict.files_digest[:12]}"})
    measured = verdict_manifest.facts.get("metrics", {})
    return target.model_copy(
        update={
            "outcome": "passed" if verdict.passed else "blocked",
            "reason": verdict.reason,
            "metrics": {metric: Measurement.model_validate(value) for metric, value in measured.items()},
        }
    )


def _key(manifest: Manifest | None) -> str | None:
    return manifest.key if manifest else None


def _verdict(target: str, context: TaskContext) -> Verdict:
    return Verdict.read_file(context.materialize(f"verdict:{target}") / "verdict.json", f"The verdict on {target}")


def _find_or_verify(
    target: ReleasedTarget, name: str, release_id: str, registry: Registry, context: TaskContext
) -> ReleasedTarget:
    """Find the version that already has a passed target's files, or verify that the files may become a version."""
    if target.outcome != "passed" or target.files_digest is None:
        return target
    artifact = context.inputs[f"artifact:{target.target}"]
    if known := registry.find_version(name, target.files_digest, file_check(artifact, context.store)):
        ours = known.release_id == release_id
        return target.model_copy(update={"registered_name": name, "version": known.version, "new": ours})
    context.progress(f"verifying {target.target}: {len(artifact.files)} files, {artifact.size / 1e6:.1f} MB")
    try:
        verify_artifact(context.store, artifact)
    except Corrupt as error:
        return target.model_copy(update={"outcome": "failed", "reason": str(error)})
    return target.model_copy(update={"registered_name": name, "new": True})


def _created(parameters: RegisterParameters, context: TaskContext) -> datetime:
    """Return when this release was first recorded. A retry does not change it."""
    name = release_name(parameters.repository, parameters.recipe, parameters.run)
    try:
        return read_release(context.store, name).created
    except NotFound:
        return datetime.now(UTC)
