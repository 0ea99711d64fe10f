"""Everything that the store holds on a release, found from the release record by the manifests' inputs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tasks.errors import NotFound
from tasks.evaluation.measurement import Benchmark, Evaluation
from tasks.gates.verdict import Verdict
from tasks.manifest import Manifest
from tasks.model import Model
from tasks.release.record import Release, ReleasedTarget
from tasks.store.artifacts import read_manifest
from tasks.store.base import Store

Document = TypeVar("Document", bound=Model)


@dataclass(frozen=True)
class Step:
    """One task whose output the release rests on: its name, the target (or text) it was for, and its manifest."""

    task: str
    subject: str
    manifest: Manifest


@dataclass(frozen=True)
class Evidence:
    """What is known of one target."""

    released: ReleasedTarget
    artifact: Manifest | None
    verdict: Verdict | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None


def evidence(store: Store, target: ReleasedTarget) -> Evidence:
    """Read a target's documents from the store; what it does not have is None."""
    return Evidence(
        released=target,
        artifact=_manifest(store, target.artifact),
        verdict=_document(store, target.verdict, "verdict.json", Verdict),
        evaluation=_document(store, target.evaluation, "evaluation.json", Evaluation),
        benchmark=_document(store, target.benchmark, "benchmark.json", Benchmark),
    )


def steps(store: Store, release: Release) -> list[Step]:
    """Return every step below the release's targets, each once, in the order in which they were done."""
    subjects: dict[str, str] = {}
    for target in release.targets:
        for key in (target.artifact, target.verdict, target.evaluation, target.benchmark):
            if key:
                subjects[key] = target.target
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
        waiting += manifest.inputs.values()
    return sorted(found.values(), key=lambda step: step.manifest.created)


def versions(made: Iterable[Step]) -> dict[str, str]:
    """Return the version of every tool that took part; of a tool in several versions, all of them."""
    seen: dict[str, set[str]] = {}
    for step in made:
        for tool, version in step.manifest.versions.items():
            seen.setdefault(tool, set()).add(version)
    return {tool: ", ".join(sorted(found)) for tool, found in sorted(seen.items())}


def _subject(manifest: Manifest) -> str:
    """What a shared step was for: a base's name or a text's path; nothing for a step that every target shares."""
    target = manifest.parameters.get("target")
    if isinstance(target, dict):
        return str(target.get("name", ""))
    return str(manifest.parameters.get("path", ""))


def _manifest(store: Store, key: str | None) -> Manifest | None:
    """Read a manifest; None where it was swept since, as the inputs of a reused measurement may be."""
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
