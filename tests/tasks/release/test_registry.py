"""A registry that is away, or not configured, is one clear sentence, soon."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, EndpointConnectionError
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from tasks.errors import AccessDenied, HallmarkError, InvalidRecipe, NotFound, RegistryUnavailable, TerminalError
from tasks.release.registry import CLIENT_SETTINGS, METRICS_PER_CALL, Registry, open_registry
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
        *(
            (ClientError({"Error": {"Code": code}}, "PutObject"), AccessDenied, "refused .*r1.*AWS_ variables")
            for code in ("AccessDenied", "403", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch")
        ),
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


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (
            "RESOURCE_DOES_NOT_EXIST",
            NotFound,
            "does not know the alias 'champion' .* version 2 .*; run the release again",
        ),
        ("NOT_FOUND", NotFound, "does not know the alias 'champion' .* version 2 .*; run the release again"),
        (
            "RESOURCE_ALREADY_EXISTS",
            RegistryUnavailable,
            "Another run created the alias .* at the same time; try again",
        ),
        ("INTERNAL_ERROR", RegistryUnavailable, "failed on the alias .*; try again later"),
    ],
)
def test_what_the_server_answers_decides_whether_a_retry_can_help(
    code: str, kind: type[HallmarkError], said: str
) -> None:
    class Client:
        def set_registered_model_alias(self, *_: str) -> None:
            raise MlflowException("planted", error_code=ErrorCode.Value(code))

    registry = Registry(Client(), "http://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(kind, match=said):
        registry.set_alias("acme--tiny--toy", "champion", "2")


def test_metrics_are_sent_in_batches_that_the_server_takes() -> None:
    sent: list[list[str]] = []

    class Client:
        def get_run(self, run_id: str) -> Any:
            return SimpleNamespace(data=SimpleNamespace(metrics={"known": 1.0}))

        def log_batch(self, run_id: str, metrics: Any = (), **_: Any) -> None:
            sent.append([metric.key for metric in metrics])

        def set_terminated(self, run_id: str) -> None:
            pass

    names = [f"m{number}" for number in range(METRICS_PER_CALL + 1)]
    registry = Registry(Client(), "http://127.0.0.1:1")  # type: ignore[arg-type]
    registry.log_numbers("r1", {}, {}, {"known": 1.0, **dict.fromkeys(names, 0.5)})
    # The first batch has the parameters. What the run has already is not sent again.
    assert sent == [[], names[:METRICS_PER_CALL], names[METRICS_PER_CALL:]]
