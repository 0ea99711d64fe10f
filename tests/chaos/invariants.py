"""What must hold after every round, whatever was killed: each check returns what is wrong, a line each."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import HallmarkError
from tasks.manifest import Manifest, attempt_manifest_name, manifest_name
from tasks.release.current import Current
from tasks.release.record import Release
from tasks.store.base import Store
from tests.chaos.processes import Start


@dataclass(frozen=True)
class Version:
    """A registered version as MLflow has it."""

    name: str
    version: str
    release: str
    files_digest: str


def manifests_in(store: Store) -> list[Manifest]:
    """Return every manifest of a store."""
    names = [found.name for found in store.list("artifacts/")]
    tops = [name for name in names if name.count("/") == 1 and name.endswith(".json")]
    return [Manifest.from_json(store.get_bytes(name)) for name in tops]


def damaged(store: Store, manifests: Iterable[Manifest]) -> list[str]:
    """Artifacts that are visible and not whole: a file that is missing, or has not the size or digest it should."""
    wrong = []
    for manifest in manifests:
        for entry in manifest.files:
            name = manifest.prefix + entry.path
            try:
                found = store.get_file(name, Path(os.devnull))
            except HallmarkError as error:
                wrong.append(f"{name} cannot be read: {error}")
                continue
            if (found.size, found.sha256) != (entry.size, entry.sha256):
                wrong.append(f"{name} has not the bytes that its manifest names")
    return wrong


def strays(store: Store, manifests: Sequence[Manifest]) -> list[str]:
    """Objects that belong to no artifact: what an attempt that died has sent."""
    known = {manifest.prefix + entry.path for manifest in manifests for entry in manifest.files}
    for manifest in manifests:
        known |= {manifest_name(manifest.key), attempt_manifest_name(manifest.key, manifest.attempt)}
    return [f"{found.name} belongs to no artifact" for found in store.list("artifacts/") if found.name not in known]


def redone(written: Sequence[tuple[str, str, float]], starts: Iterable[Start]) -> list[str]:
    """Work that was done again although its manifest was there. `written` is key, attempt and time of each manifest."""
    attempts: dict[str, set[str]] = defaultdict(set)
    since: dict[str, float] = {}
    for key, attempt, time in written:
        attempts[key].add(attempt)
        since.setdefault(key, time)
    wrong = [f"{key} was made {len(made)} times" for key, made in attempts.items() if len(made) > 1]
    for start in starts:
        if start.job in since and start.time > since[start.job]:
            wrong.append(f"{start.task} {start.job} was started again after its manifest was written")
    return wrong


def restarted(starts: Iterable[Start], running: Collection[str]) -> list[str]:
    """Jobs that were running when a process of Airflow died, and were started again and not attached to."""
    counted = Counter((start.task, start.job) for start in starts if start.job in running)
    return [f"{task} {job} was started {times} times" for (task, job), times in counted.items() if times > 1]


def registered_twice(versions: Iterable[Version]) -> list[str]:
    """Files, or a release's target, with more than one version."""
    found = list(versions)
    by_files = Counter((version.name, version.files_digest) for version in found)
    by_release = Counter((version.name, version.release) for version in found)
    return [
        f"{name} has {times} versions of {what}"
        for counted in (by_files, by_release)
        for (name, what), times in counted.items()
        if times > 1
    ]


def unregistered(release: Release, versions: Iterable[Version]) -> list[str]:
    """Targets that the record says are registered and MLflow does not know so."""
    known = {(version.name, version.version): version.files_digest for version in versions}
    return [
        f"{target.target} is not version {target.version} of {target.registered_name} in MLflow"
        for target in release.passed
        if known.get((target.registered_name or "", target.version or "")) != target.files_digest
    ]


def disagreeing(current: Current, release: Release, aliases: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Names whose aliases are not what the record says, and targets of the release that are champion nowhere."""
    wrong = []
    for name, names in current.names.items():
        wanted = {"champion": names.champion.version}
        if names.previous:
            wanted["previous"] = names.previous.version
        if dict(aliases.get(name, {})) != wanted:
            wrong.append(f"{name} has the aliases {dict(aliases.get(name, {}))}, and the record says {wanted}")
    for target in release.passed:
        names_of = current.names.get(target.registered_name or "")
        if names_of is None or names_of.champion.version != target.version:
            wrong.append(f"{target.target} passed and is not champion in the record")
    return wrong


def left_behind(kind: str, found: Iterable[object]) -> list[str]:
    """Whatever should be gone."""
    return [f"{kind} was left behind: {thing}" for thing in found]
