"""A version counts as registered only while its files are there; newer code's manifest does not mean they are lost."""

from pathlib import Path

import pytest

from tasks.errors import TooNew
from tasks.manifest import Manifest
from tasks.release.registry import RegisteredVersion
from tasks.release.version_files import file_check
from tasks.store.artifacts import complete_attempt
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


def version(store: LocalStore, artifact: Manifest) -> RegisteredVersion:
    return RegisteredVersion("a--b--toy", "1", "run", store.uri(artifact.own_name))


def test_a_version_has_its_files_until_somebody_deletes_them(store: LocalStore, artifact: Manifest) -> None:
    again = artifact.model_copy(update={"attempt": "again"})
    checks = file_check(artifact, store), file_check(again, store)
    assert all(check(version(store, artifact)) for check in checks)
    store.delete(f"{artifact.prefix}MLmodel")
    assert not any(check(version(store, artifact)) for check in checks)


def test_a_version_whose_manifest_cannot_be_read_has_lost_its_files(store: LocalStore, artifact: Manifest) -> None:
    store.put_bytes(artifact.own_name, b"{")
    assert not file_check(artifact, store)(version(store, artifact))


def test_a_version_that_newer_code_wrote_is_not_taken_for_lost(store: LocalStore, artifact: Manifest) -> None:
    store.put_bytes(artifact.own_name, artifact.to_json().replace('"schema": 1', '"schema": 2').encode())
    with pytest.raises(TooNew, match="update this checkout"):
        file_check(artifact, store)(version(store, artifact))


def test_another_store_is_not_asked(store: LocalStore, artifact: Manifest) -> None:
    elsewhere = RegisteredVersion("a--b--toy", "1", "run", "s3://elsewhere/artifacts/x/y.json")
    assert file_check(artifact, store)(elsewhere)
