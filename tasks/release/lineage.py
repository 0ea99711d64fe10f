"""Finds everything in the store that belongs to a release. It starts at the record and follows the inputs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tasks.errors import NotFound
from tasks.evaluation.control import CONTROL_FILE, ControlComparison
from tasks.evaluation.measurement import Benchmark, Evaluation
from tasks.gates.verdict import Verdict
from tasks.integrity.record import INTEGRITY_FILE, Integrity
from tasks.manifest import Manifest
from tasks.model import Model
from tasks.release.record import Release, ReleasedProof, ReleasedTarget
from tasks.store.artifacts import read_manifest
from tasks.store.base import Store

COMPARE_CONTROL = "compare_control"
"""The kind of the artifacts that compare a target with its control."""

Document = TypeVar("Document", bound=Model)


@dataclass(frozen=True)
class Step:
    """One task whose output the release uses.

    task: the task's name.
    subject: the target or the text that it was for; empty for a task that all targets share.
    manifest: the manifest of its output.
    """

    task: str
    subject: str
    manifest: Manifest


@dataclass(frozen=True)
class ProofEvidence:
    """What the store holds on one proof of a target; None for what does not exist."""

    released: ReleasedProof
    verdict: Verdict | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None
    integrity: Integrity | None = None
    control: ControlComparison | None = None


@dataclass(frozen=True)
class Evidence:
    """What the store holds on one target; the artifact is None if it does not exist."""

    released: ReleasedTarget
    artifact: Manifest | None
    proofs: tuple[ProofEvidence, ...]


def evidence(store: Store, target: ReleasedTarget) -> Evidence:
    """Read a target's documents from the store."""
    return Evidence(
        released=target,
        artifact=_manifest(store, target.artifact),
        proofs=tuple(
            ProofEvidence(
                released=proof,
                verdict=_document(store, proof.verdict, "verdict.json", Verdict),
                evaluation=_document(store, proof.evaluation, "evaluation.json", Evaluation),
                benchmark=_document(store, proof.benchmark, "benchmark.json", Benchmark),
                integrity=_document(store, _judged(store, proof, "integrity"), INTEGRITY_FILE, Integrity),
                control=_document(store, _judged(store, proof, "control"), CONTROL_FILE, ControlComparison),
            )
            for proof in target.proofs
        ),
    )


def steps(store: Store, release: Release) -> list[Step]:
    """Return every task whose output the release uses, each once, in the order in which they ran."""
    subjects: dict[str, str] = {}
    for target in release.targets:
        if target.artifact:
            subjects[target.artifact] = target.target
        for proof in target.proofs:
            subject = f"{target.target}, {proof.pool}" if len(target.proofs) > 1 else target.target
            subjects |= dict.fromkeys(
                (key for key in (proof.verdict, proof.evaluation, proof.benchmark) if key), subject
            )
    found: dict[str, Step] = {}
    waiting = list(subjects)
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        manifest = _manifest(store, key)
        if manifest is None:
            continue
        found[key] = Step(manifest.kind, subjects.get(key) or _subject(manifest), manifest)
        if manifest.kind == COMPARE_CONTROL:
            # It is made from the same scheme, so its own name may be that of the target.
            subjects.setdefault(manifest.inputs["control"], f"control of {found[key].subject}")
        waiting += manifest.inputs.values()
    return sorted(found.values(), key=lambda step: step.manifest.created)


def versions(made: Iterable[Step]) -> dict[str, str]:
    """Return the version of every tool that took part; if there are several versions of a tool, all of them."""
    seen: dict[str, set[str]] = {}
    for step in made:
        for tool, version in step.manifest.versions.items():
            seen.setdefault(tool, set()).add(version)
    return {tool: ", ".join(sorted(found)) for tool, found in sorted(seen.items())}


def _subject(manifest: Manifest) -> str:
    """Return the name of a base or the path of a text; empty for a task that every target shares."""
    target = manifest.parameters.get("target")
    if isinstance(target, dict):
        return str(target.get("name", ""))
    return str(manifest.parameters.get("path", ""))


def _judged(store: Store, proof: ReleasedProof, name: str) -> str | None:
    """Return the key of one input of the gate on which a verdict rests; None for a verdict without that input."""
    manifest = _manifest(store, proof.verdict)
    return manifest.inputs.get(name) if manifest else None


def _manifest(store: Store, key: str | None) -> Manifest | None:
    """Return a manifest, or None if it was removed since. The inputs of a reused measurement may be gone."""
    if key is None:
        return None
    try:
        return read_manifest(store, key)
    except NotFound:
        return None


def _document(store: Store, key: str | None, file: str, kind: type[Document]) -> Document | None:
    manifest = _manifest(store, key)
    if manifest is None:
        return None
    name = f"{manifest.prefix}{file}"
    return kind.read(store.get_bytes(name), f"{store.url}/{name}")
