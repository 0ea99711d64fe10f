"""A registry that is away, or not configured, is one clear sentence, soon."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, EndpointConnectionError

from tasks.errors import AccessDenied, InvalidRecipe, RegistryUnavailable, TerminalError
from tasks.release.registry import CLIENT_SETTINGS, Registry, open_registry
from tests.fixtures.servers import free_port


def test_a_server_that_is_away_is_reported_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    # Set and taken back by monkeypatch, for open_registry leaves its own settings in the environment.
    for name in CLIENT_SETTINGS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    start = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=address):
        open_registry().aliases("acme--tiny--toy")
    assert time.monotonic() - start < 30


def test_no_server_configured_names_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InvalidRecipe, match="hallmark_mlflow"):
        open_registry()


@pytest.mark.parametrize("name", ["x' OR name != '", "'"])
def test_a_quotation_mark_cannot_end_a_filters_text(name: str) -> None:
    class Client:
        def search_model_versions(self, condition: str) -> None:
            raise AssertionError(f"the registry was asked: {condition}")

    registry = Registry(Client(), "http://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(TerminalError, match="contains a quotation mark, and MLflow cannot search for it"):
        registry.find_version(name, "0" * 64, lambda _: True)


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error: planted\nResponse text: <html>", response=response)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (answered(401), AccessDenied, "check the connection 'hallmark_mlflow'"),
        (answered(403), AccessDenied, "check the connection 'hallmark_mlflow'"),
        (answered(413), InvalidRecipe, "or a proxy before it, refused .*r1.* with status 413 "),
        (answered(429), RegistryUnavailable, "failed on .*r1.* \\(429"),
        (answered(502), RegistryUnavailable, "failed on .*r1.* \\(502"),
        (requests.JSONDecodeError("Expecting value", "<html>", 0), RegistryUnavailable, "failed on .*r1"),
        (ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"), RegistryUnavailable, "store of MLflow's.*SlowDown"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject"), AccessDenied, "refused .*r1.*AWS_ variables"),
        (S3UploadFailedError("planted"), RegistryUnavailable, "store of MLflow's artifacts failed on .*r1"),
        (EndpointConnectionError(endpoint_url="http://s3"), RegistryUnavailable, "check the AWS_ variables"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_fault_of_artifacts_is_one_sentence(raised: Exception, kind: type[Exception], said: str) -> None:
    class Client:
        def log_artifact(self, *_: Any) -> None:
            raise raised

        list_artifacts = log_artifact

    registry = Registry(Client(), "http://127.0.0.1:1")  # type: ignore[arg-type]
    for ask in (lambda: registry.log_files("r1", [Path("report.html")]), lambda: registry.artifact_names("r1", "x")):
        with pytest.raises(kind, match=said) as told:
            ask()
        assert "\n" not in str(told.value)
