"""A release for each store, with an MLflow server that is set up for it.

Imports are inside the fixtures: every runtime reads this file, and only some have what the servers need.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.tasks.release.releases import Maker


@pytest.fixture(params=["folder", "s3"])
def maker(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Maker":
    """Make releases of a fresh repository, once in a local folder and once in S3."""
    from tasks.store.local import LocalStore
    from tasks.store.s3 import S3Store
    from tests.tasks.release.releases import Maker

    repository = f"acme/tiny.{secrets.token_hex(4)}"
    if request.param == "folder":
        server, root = request.getfixturevalue("mlflow_beside_folder")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        return Maker(tmp_path, LocalStore(root), repository)
    s3 = request.getfixturevalue("s3_server")
    server = request.getfixturevalue("mlflow_server")
    for name, value in {**s3.environment(), **server.environment()}.items():
        monkeypatch.setenv(name, value)
    return Maker(tmp_path, S3Store(s3.bucket, "release-tests"), repository)


@pytest.fixture
def client(maker: "Maker") -> "MlflowClient":
    """A client of the server that the maker's releases go to."""
    from mlflow import MlflowClient

    return MlflowClient()
