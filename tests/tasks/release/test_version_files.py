"""A version counts as registered only if it is an artifact of the store and has its files, whatever its tags say."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tasks.errors import TooNew
from tasks.manifest import Manifest
from tasks.release.registry import RegisteredVersion
from tasks.release.version_files import file_check, is_ours
from tasks.release.version_source import points_at
from tasks.store.artifacts import complete_attempt
from tasks.store.base import Store
from tasks.store.local import LocalStore
from tests.fixtures.context import manifest_of


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def artifact(store: LocalStore, tmp_path: Path) -> Manifest:
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    manifest = manifest_of(folder)
    store.put_file(f"{manifest.prefix}MLmodel", folder / "MLmodel")
    complete_attempt(store, manifest)
    return manifest


LINKS = "1/run/artifacts/models/toy"


@pytest.fixture
def version(store: LocalStore, artifact: Manifest) -> RegisteredVersion:
    folder = store.root / "mlflow" / LINKS
    folder.mkdir(parents=True)
    os.link(store.root / artifact.prefix / "MLmodel", folder / "MLmodel")
    source = f"mlflow-artifacts:/{LINKS}"
    return RegisteredVersion("a--b--toy", "1", source, "run", store.uri(artifact.own_name))


def test_a_version_has_its_files_until_somebody_deletes_them(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion
) -> None:
    again = artifact.model_copy(update={"attempt": "again"})
    checks = file_check(artifact, store), file_check(again, store)
    assert all(check(version) for check in checks)
    store.delete(f"{artifact.prefix}MLmodel")
    assert not any(check(version) for check in checks)


def test_the_files_of_the_artifact_itself_are_not_read_again(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.release.version_files.verify_artifact", None)
    assert file_check(artifact, store)(version)


def test_a_version_whose_manifest_cannot_be_read_has_lost_its_files(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion
) -> None:
    store.put_bytes(artifact.own_name, b"{")
    assert not file_check(artifact, store)(version)


def test_a_version_that_newer_code_wrote_is_not_taken_for_lost(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion
) -> None:
    store.put_bytes(artifact.own_name, artifact.to_json().replace('"schema": 1', '"schema": 2').encode())
    with pytest.raises(TooNew, match="update this checkout"):
        file_check(artifact, store)(version)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "file:///elsewhere"},
        {"source": "s3://another-bucket/artifacts/x/y"},
        {"source": "mlflow-artifacts:/2/other/artifacts/models/toy"},
        {"source": f"mlflow-artifacts:/{LINKS}/../toy"},
        {"source": ""},
        {"manifest": "s3://elsewhere/artifacts/x/y.json"},
        {"manifest": ""},
    ],
    ids=str,
)
def test_our_tags_do_not_make_a_version_ours(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion, change: dict[str, Any]
) -> None:
    assert is_ours(version, artifact.files_digest, store)
    forged = replace(version, **change)
    assert not is_ours(forged, artifact.files_digest, store)
    assert not file_check(artifact, store)(forged)


def test_the_tagged_manifest_must_be_that_of_the_files(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion
) -> None:
    assert not is_ours(version, "0" * 64, store)
    relative = replace(version, manifest=artifact.own_name.removeprefix("artifacts/"))
    assert not is_ours(relative, artifact.files_digest, store)
    # A copy of the manifest under another name is not the manifest of that artifact.
    store.put_bytes("artifacts/copy.json", artifact.to_json().encode())
    assert not is_ours(replace(version, manifest=store.uri("artifacts/copy.json")), artifact.files_digest, store)


@pytest.mark.parametrize("folder", ["links", "artifact"])
def test_another_file_among_the_models_is_not_ours(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion, folder: str
) -> None:
    place = f"mlflow/{LINKS}" if folder == "links" else artifact.prefix
    (store.root / place / "code.py").write_text("import os")
    assert not is_ours(version, artifact.files_digest, store)


@pytest.mark.parametrize("same_size", [True, False])
def test_other_bytes_behind_the_source_are_not_ours(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion, same_size: bool
) -> None:
    link = store.root / "mlflow" / LINKS / "MLmodel"
    link.unlink()
    link.write_text("flavors: {?" if same_size else "other")
    assert not is_ours(version, artifact.files_digest, store)


def test_a_store_that_was_copied_without_its_links_is_ours(
    store: LocalStore, artifact: Manifest, version: RegisteredVersion
) -> None:
    link = store.root / "mlflow" / LINKS / "MLmodel"
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)
    assert is_ours(version, artifact.files_digest, store)
    link.unlink()
    link.symlink_to(store.root / artifact.prefix / "MLmodel")
    assert not is_ours(version, artifact.files_digest, store)


@pytest.mark.parametrize("source", ["s3://bucket/prefix/{prefix}", "s3://bucket/prefix/{prefix}/"])
def test_in_a_bucket_the_source_is_the_artifacts_prefix(artifact: Manifest, source: str) -> None:
    class Bucket:
        url = "s3://bucket/prefix"

        def uri(self, name: str) -> str:
            return f"{self.url}/{name}"

    bucket = cast(Store, Bucket())
    own = source.format(prefix=artifact.prefix.rstrip("/"))
    assert points_at(own, artifact, bucket)
    for other in (own.replace("bucket", "other"), own.replace("prefix/a", "a"), own + "x", f"file:///{own}"):
        assert not points_at(other, artifact, bucket)
