"""Writes a release to MLflow: one run with its numbers, and one version for each artifact that has none yet."""

import json
from collections.abc import Mapping
from typing import Any

from tasks.evaluation.metrics import NOISE_METRICS
from tasks.manifest import Manifest
from tasks.release.noise import source_noise
from tasks.release.record import Release, ReleasedTarget
from tasks.release.registry import Registry
from tasks.release.table import numbers_line
from tasks.release.version_files import file_check
from tasks.release.version_source import version_source
from tasks.store.base import Store

DESCRIPTION_LINES = 3
"""Lines of a version's description: the verdict, an empty one, and the numbers."""

FILES_TAG_LIMIT = 5000
"""The longest tag that lists digests, in characters. Longer lists are left out; another tag names the manifest."""


def is_unchanged(release: Release, earlier: Release) -> bool:
    """Return whether an earlier release has the same files, versions and outcomes, for every target."""
    complete = all(target.version for target in release.passed)
    return complete and _substance(release) == _substance(earlier)


def same_as(release: Release, earlier: Release) -> Release:
    """Return a release without anything new: it points to the run of the earlier release."""
    if release.release_id == earlier.release_id:
        since = earlier.unchanged_since
    else:
        since = earlier.unchanged_since or earlier.release_id
    return release.model_copy(update={"mlflow_run": earlier.mlflow_run, "unchanged_since": since})


def refresh_versions(release: Release, inputs: Mapping[str, Manifest], registry: Registry) -> None:
    """Bring the numbers of versions that exist up to date: a disturbed timing, for example, is measured again.

    A version keeps what its release said of its files. It has the numbers of the recipe that registered it; another
    recipe compares on another text. A description that a person has changed stays.
    """
    for target in release.passed:
        assert target.registered_name is not None and target.version is not None
        known = registry.find(target.registered_name, target.version)
        if known is None or known.tags.get("recipe") != release.recipe:
            continue
        heading = _heading(target, release.repository, known.tags.get("commit", release.commit))
        lines = known.description.strip().splitlines()
        ours = len(lines) == DESCRIPTION_LINES and lines[0].startswith(heading)
        registry.update_version(
            known,
            _measured(target, inputs[f"artifact:{target.target}"]),
            _description(heading, target) if ours else known.description,
        )


def register_new(release: Release, inputs: Mapping[str, Manifest], store: Store, registry: Registry) -> Release:
    """Create the release's run and missing versions, set the alias `challenger`, and return the release with them."""
    run_id = registry.ensure_run(
        release.repository,
        f"{release.recipe} {release.commit[:12]}",
        # The release id alone is not enough: it is the Airflow run id, which a person may choose for two recipes, or
        # again after the run was deleted. MLflow never changes the parameters of a run.
        {"release": release.release_id, "recipe": release.recipe, "commit": release.commit},
        {"repository": release.repository, **_licence(release)},
    )
    targets = tuple(
        _registered(target, release, inputs[f"artifact:{target.target}"], run_id, store, registry)
        if target.outcome == "passed"
        else target
        for target in release.targets
    )
    registry.log_numbers(
        run_id,
        {
            "repository": release.repository,
            "commit": release.commit,
            "recipe": release.recipe,
        },
        {name: outcome for target in targets for name, outcome in _outcomes(target).items()},
        {
            **{name: measured.value for name, measured in source_noise(release).items()},
            **{name: number for target in targets for name, number in _numbers(target).items()},
        },
    )
    return release.model_copy(update={"targets": targets, "mlflow_run": run_id})


def _registered(
    target: ReleasedTarget, release: Release, artifact: Manifest, run_id: str, store: Store, registry: Registry
) -> ReleasedTarget:
    name = target.registered_name
    assert name is not None
    version, new = target.version, target.new
    if version is None:
        registry.ensure_model(
            name, f"{target.target} of {release.repository}; its versions are that target's releases."
        )
        made = registry.create_version(
            name,
            version_source(store, artifact, registry, run_id, target.target),
            run_id,
            _tags(target, release, artifact, store),
            _description(_heading(target, release.repository, release.commit), target),
            file_check(artifact, store),
        )
        version, new = made.version, made.is_made_by(release.release_id, release.recipe)
    if registry.aliases(name).get("champion") != version:
        registry.set_alias(name, "challenger", version)
    return target.model_copy(update={"version": version, "new": new})


def _heading(target: ReleasedTarget, repository: str, commit: str) -> str:
    """Return how the description of a version begins."""
    return f"{target.target} of {repository} at {commit[:12]}: "


def _description(heading: str, target: ReleasedTarget) -> str:
    return f"{heading}{target.reason}.\n\n{numbers_line(target)}"


def _tags(target: ReleasedTarget, release: Release, artifact: Manifest, store: Store) -> dict[str, str]:
    """Return the tags of a version: digests, verdict and lineage, for a person who cannot see the store."""
    files = _compact({entry.path: f"sha256:{entry.sha256}" for entry in artifact.files})
    return {
        "release": release.release_id,
        "repository": release.repository,
        "commit": release.commit,
        "recipe": release.recipe,
        **_licence(release),
        "target": target.target,
        "files_digest": artifact.files_digest,
        "size_bytes": str(artifact.size),
        "manifest": store.uri(artifact.own_name),
        "made_from": _compact(artifact.inputs),
        **({"artifact": target.artifact} if target.artifact else {}),
        **{name: value for name, value in _measured(target, artifact).items() if value is not None},
        **({"files": files} if len(files) <= FILES_TAG_LIMIT else {}),
    }


def _licence(release: Release) -> dict[str, str]:
    return {"licence": release.licence, **({"licence_link": release.licence_link} if release.licence_link else {})}


def _measured(target: ReleasedTarget, artifact: Manifest) -> dict[str, str | None]:
    """Return the tags that say what was measured on the files; None for one that does not apply.

    A later release of the same files may have measured something else.
    """
    first = target.proofs[0]
    compared, allowed = target.metrics.get("context_compared"), artifact.facts.get("context_length")
    return {
        "verdict_summary": target.reason,
        "proofs": "; ".join(proof.place for proof in target.proofs),
        "verdict": first.verdict,
        "evaluation": first.evaluation,
        "weights": _weights(target),
        # How many tokens a sequence was compared for, and how many the files allow if that is known.
        "context_compared": f"{compared.value:.0f}" if compared else None,
        "context_length": str(allowed) if allowed else None,
        "timing_disturbed": target.disturbed,
    }


def _weights(target: ReleasedTarget) -> str | None:
    """Return what was found of the weights; None for a verdict from before they were compared."""
    faithful, identical = (target.metrics.get(name) for name in ("tensors_faithful", "weights_identical"))
    if faithful is None or identical is None:
        return None
    count = faithful.observations
    what = "every number is the source's" if identical.value else "each within the band of its type"
    return f"{round(faithful.value * count)} of {count} tensors, {what}"


def _outcomes(target: ReleasedTarget) -> dict[str, str]:
    """Return the tags of the run that say how a target ended and, if it has several proofs, how each of them did."""
    proofs = target.proofs if len(target.proofs) > 1 else ()
    return {
        f"outcome.{target.target}": target.outcome,
        **{f"outcome.{target.target}.{proof.pool}": proof.outcome for proof in proofs},
    }


def _numbers(target: ReleasedTarget) -> dict[str, float]:
    """Return the metrics of the run: the first proof's by the target's name, those of other proofs also by the pool.

    The source's noise is the same for all targets, and stands in the run once.
    """
    names = [target.target, *(f"{target.target}.{proof.pool}" for proof in target.proofs[1:])]
    return {
        f"{metric}.{name}": measured.value
        for name, proof in zip(names, target.proofs, strict=False)
        for metric, measured in proof.metrics.items()
        if metric not in NOISE_METRICS
    }


def _compact(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _substance(release: Release) -> list[Any]:
    return [
        release.commit,
        *sorted((t.target, t.outcome, t.files_digest, t.registered_name, t.version) for t in release.targets),
        # The pool of a target's only proof is a matter of the host, and earlier versions did not record it.
        *((t.target, proof.pool, proof.outcome) for t in release.targets if len(t.proofs) > 1 for proof in t.proofs),
    ]
