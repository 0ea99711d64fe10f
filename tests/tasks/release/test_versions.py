"""What a version's tags hold, and versions that somebody deletes meanwhile. test_register.py uses real servers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tasks.manifest import FileEntry, Manifest
from tasks.release.record import Release, ReleasedProof, ReleasedTarget
from tasks.release.registry import RegisteredVersion, Registry
from tasks.release.versions import FILES_TAG_LIMIT, refresh_versions, register_new
from tasks.store.local import LocalStore

NAME = "acme--tiny--toy-a"


class Empty:
    """A registry without versions. It keeps the tags of those that are created."""

    def __init__(self) -> None:
        self.tags: Mapping[str, str] = {}

    def ensure_run(self, *_: Any) -> str:
        return "run"

    def ensure_model(self, *_: Any) -> None: ...

    def set_alias(self, *_: Any) -> None: ...

    def log_numbers(self, *_: Any) -> None: ...

    def aliases(self, name: str) -> dict[str, str]:
        return {}

    def find(self, name: str, version: str) -> None:
        return None

    def create_version(
        self, name: str, source: str, run_id: str, tags: Mapping[str, str], *_: Any
    ) -> RegisteredVersion:
        self.tags = tags
        return RegisteredVersion(name, "1", source, tags["release"], tags["manifest"], tags)


def release(version: str | None) -> Release:
    proof = ReleasedProof(engine="toy 1", pool="cpu", outcome="passed", reason="why")
    target = ReleasedTarget(
        target="toy-a",
        format="toy",
        outcome="passed",
        reason="why",
        proofs=(proof,),
        registered_name=NAME,
        version=version,
    )
    return Release(
        release_id="r1",
        repository="acme/tiny",
        commit="a" * 40,
        licence="mit",
        recipe="demo",
        created=datetime(2026, 11, 30, tzinfo=UTC),
        targets=(target,),
    )


def artifact(files: int) -> Manifest:
    entries = tuple(FileEntry(path=f"part-{number}", size=1, sha256="a" * 64) for number in range(files))
    created = datetime(2026, 11, 30, tzinfo=UTC)
    return Manifest(key="b" * 64, attempt="test", kind="convert", created=created, files=entries)


@pytest.mark.parametrize(("files", "listed"), [(2, True), (100, False)])
def test_the_digests_of_many_files_are_left_out_and_the_manifest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, listed: bool
) -> None:
    monkeypatch.setattr("tasks.release.versions.version_source", lambda *_: "s3://bucket/artifacts/x")
    registry, store, made = Empty(), LocalStore(tmp_path), artifact(files)
    done = register_new(release(None), {"artifact:toy-a": made}, store, cast(Registry, registry))
    assert [(target.version, target.new) for target in done.targets] == [("1", True)]
    assert ("files" in registry.tags) == listed
    assert all(len(value) <= FILES_TAG_LIMIT for value in registry.tags.values()), "MLflow takes no longer ones"
    assert registry.tags["manifest"] == store.uri(made.own_name)
    assert registry.tags["files_digest"] == made.files_digest


def test_a_version_that_somebody_deletes_meanwhile_is_not_refreshed() -> None:
    refresh_versions(release("1"), {"artifact:toy-a": artifact(1)}, cast(Registry, Empty()))
