"""A release for each store, with an MLflow server that is set up for it.

Imports are inside the fixtures: every runtime reads this file, and only some have what the servers need.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.fixtures.servers import MlflowServer
    from tests.tasks.release.releases import Maker


@pytest.fixture(scope="session")
def mlflow_beside_folder(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[MlflowServer, Path]]":
    """An MLflow server whose artifact destination is the folder `mlflow` of a store in a folder; and that store."""
    from tasks.runtimes import runtime
    from tests.fixtures.servers import MlflowServer, free_port, running

    folder, port = tmp_path_factory.mktemp("mlflow-folder"), free_port()
    server, root = MlflowServer(f"http://127.0.0.1:{port}", folder), folder / "store"
    command = [str(runtime("mlflow").python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"file://{root}/mlflow"]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with running(command, environment, f"{server.url}/health", folder / "server.log"):
        yield server, root


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
