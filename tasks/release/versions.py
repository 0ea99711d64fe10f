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


def register_new(release: Release, inputs: Mapping[str, Manifest], store: Store, registry: Registry) -> Release:
    """Create the release's run and missing versions, set the alias `challenger`, and return the release with them."""
    run_id = registry.ensure_run(
        release.repository,
        release.release_id,
        f"{release.recipe} {release.commit[:12]}",
        {
            "repository": release.repository,
            "commit": release.commit,
            "recipe": release.recipe,
            "licence": release.licence,
        },
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
            f"{target.target} of {release.repository} at {release.commit[:12]}: {target.reason}.\n\n"
            f"{numbers_line(target)}",
            file_check(artifact, store),
        )
        version, new = made.version, made.release_id == release.release_id
    if registry.aliases(name).get("champion") != version:
        registry.set_alias(name, "challenger", version)
    return target.model_copy(update={"version": version, "new": new})


def _tags(target: ReleasedTarget, release: Release, artifact: Manifest, store: Store) -> dict[str, str]:
    """Return the tags of a version: digests, verdict and lineage, for a person who cannot see the store."""
    first = target.proofs[0]
    keys = {"artifact": target.artifact, "verdict": first.verdict, "evaluation": first.evaluation}
    files = _compact({entry.path: f"sha256:{entry.sha256}" for entry in artifact.files})
    return {
        "release": release.release_id,
        "repository": release.repository,
        "commit": release.commit,
        "recipe": release.recipe,
        "licence": release.licence,
        "target": target.target,
        "verdict_summary": target.reason,
        "proofs": "; ".join(proof.place for proof in target.proofs),
        "files_digest": artifact.files_digest,
        "size_bytes": str(artifact.size),
        "manifest": store.uri(artifact.own_name),
        "made_from": _compact(artifact.inputs),
        **{name: key for name, key in keys.items() if key},
        **_weights(target),
        **_contexts(target, artifact),
        **({"timing_disturbed": target.disturbed} if target.disturbed else {}),
        **({"files": files} if len(files) <= FILES_TAG_LIMIT else {}),
    }


def _weights(target: ReleasedTarget) -> dict[str, str]:
    """Return the tag that says what was found of the weights; nothing for a verdict from before they were compared."""
    faithful, identical = (target.metrics.get(name) for name in ("tensors_faithful", "weights_identical"))
    if faithful is None or identical is None:
        return {}
    count = faithful.observations
    what = "every number is the source's" if identical.value else "each within the band of its type"
    return {"weights": f"{round(faithful.value * count)} of {count} tensors, {what}"}


def _contexts(target: ReleasedTarget, artifact: Manifest) -> dict[str, str]:
    """Return the tags that say how many tokens a sequence was compared for, and how many the files allow if known."""
    compared, allowed = target.metrics.get("context_compared"), artifact.facts.get("context_length")
    return {
        **({"context_compared": f"{compared.value:.0f}"} if compared else {}),
        **({"context_length": str(allowed)} if allowed else {}),
    }


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
