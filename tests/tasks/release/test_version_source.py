"""The source of a version is linked below the run's artifacts, or the MLflow server's setting is named.

test_register.py does the same with a real server.
"""

import errno
import os
from pathlib import Path
from typing import cast

import pytest

from tasks.errors import AccessDenied, DiskFull, InvalidRecipe, StoreUnavailable
from tasks.manifest import Manifest
from tasks.release.registry import Registry
from tasks.release.version_source import points_at, version_source
from tasks.store.base import Store
from tasks.store.local import LocalStore
from tests.fixtures.context import manifest_of

FILES = {"MLmodel": "flavors: {}", "parts/one.bin": "1", "parts/two.bin": "22"}


class Server:
    """Answers as a registry whose server keeps artifacts at `uri` and sees those below `folder`."""

    def __init__(self, folder: Path, uri: str = "mlflow-artifacts:/1/run/artifacts") -> None:
        self.folder, self.uri = folder, uri

    def artifact_uri(self, run_id: str) -> str:
        return self.uri

    def artifact_names(self, run_id: str, folder: str) -> list[str]:
        place = self.folder / "1" / run_id / "artifacts"
        return [found.relative_to(place).as_posix() for found in (place / folder).glob("*")]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def artifact(store: LocalStore, tmp_path: Path) -> Manifest:
    folder = tmp_path / "artifact"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    manifest = manifest_of(folder)
    for name in FILES:
        store.put_file(f"{manifest.prefix}{name}", folder / name)
    return manifest


def source(store: Store, artifact: Manifest, server: Server) -> str:
    return version_source(store, artifact, cast(Registry, server), "run", "toy")


def test_the_files_are_linked_below_the_runs_artifacts(store: LocalStore, artifact: Manifest) -> None:
    server = Server(store.root / "mlflow")
    # The second attempt finds the links of the first.
    for _ in range(2):
        assert source(store, artifact, server) == "mlflow-artifacts:/1/run/artifacts/models/toy"
    assert points_at("mlflow-artifacts:/1/run/artifacts/models/toy", artifact, store)
    links = store.root / "mlflow/1/run/artifacts/models/toy"
    assert all((links / name).samefile(store.root / artifact.prefix / name) for name in FILES)


@pytest.mark.parametrize(
    ("uri", "folder", "message"),
    [
        ("s3://bucket/1/run/artifacts", "mlflow", "MLflow keeps artifacts at s3://bucket/1/run/artifacts, outside the"),
        ("mlflow-artifacts:/1/run/artifacts", "elsewhere", "The MLflow server does not see file://"),
    ],
)
def test_a_server_with_another_folder_is_refused(
    store: LocalStore, artifact: Manifest, uri: str, folder: str, message: str
) -> None:
    fix = rf"start the MLflow server with --artifacts-destination file://{store.root}/mlflow\.$"
    with pytest.raises(InvalidRecipe, match=f"^{message}.*{fix}"):
        source(store, artifact, Server(store.root / folder, uri))


def test_a_file_that_cannot_be_linked_is_an_outage(store: LocalStore, artifact: Manifest) -> None:
    (store.root / artifact.prefix / "parts/two.bin").unlink()
    with pytest.raises(StoreUnavailable, match=r"parts/two\.bin could not be linked to"):
        source(store, artifact, Server(store.root / "mlflow"))


@pytest.mark.parametrize(
    ("number", "error", "help"),
    [
        (
            errno.EXDEV,
            InvalidRecipe,
            "hard links, run all workers as one user, or use a store in S3",
        ),
        (
            errno.EPERM,
            InvalidRecipe,
            "hard links, run all workers as one user, or use a store in S3",
        ),
        (errno.EACCES, AccessDenied, "check the folder's owner"),
        (errno.EMLINK, StoreUnavailable, "check the store's disk"),
        (errno.EDQUOT, DiskFull, "The user's quota on the disk"),
        (errno.ENOSPC, DiskFull, "name a store on a larger disk in HALLMARK_STORE"),
        (errno.EIO, StoreUnavailable, "check the store's disk"),
    ],
)
def test_what_no_retry_links_is_terminal(
    store: LocalStore,
    artifact: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
    help: str,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(error, match=help):
        source(store, artifact, Server(store.root / "mlflow"))


def test_in_a_bucket_nothing_is_linked(artifact: Manifest, tmp_path: Path) -> None:
    class Bucket:
        url = "s3://bucket/prefix"

        def uri(self, name: str) -> str:
            return f"{self.url}/{name}"

    expected = f"s3://bucket/prefix/{artifact.prefix.rstrip('/')}"
    assert source(cast(Store, Bucket()), artifact, Server(tmp_path)) == expected
