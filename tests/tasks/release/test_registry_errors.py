"""What answers at MLflow's address is another server, or refuses: one sentence that names the setting, at once."""

from collections.abc import Iterator

import pytest

from tasks.errors import AccessDenied, InvalidRecipe, RegistryUnavailable
from tasks.release.registry import CLIENT_SETTINGS, open_registry
from tasks.release.registry_errors import registry_errors
from tests.fixtures.scripted_server import AnsweringServer, answering

PAGE = b"<html>\n<body>Please log in</body></html>"
CORRECT = r"correct the host of the connection 'hallmark_mlflow' \(by hand: MLFLOW_TRACKING_URI\)\.$"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:
    for name, value in {**CLIENT_SETTINGS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    with answering() as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


@pytest.mark.parametrize("status", [200, 400, 404, 405])
def test_another_server_is_not_asked_again(server: AnsweringServer, status: int) -> None:
    server.answer = lambda _: (status, {"Content-Type": "text/html"}, PAGE)
    for ask in (open_registry().check, lambda: open_registry().aliases("acme--tiny--toy")):
        with pytest.raises(
            InvalidRecipe, match=rf"^What answers at {server.url} is not MLflow, .*Please log in.*{CORRECT}"
        ) as told:
            ask()
        assert "\n" not in str(told.value)


def test_a_page_in_the_place_of_an_mlflow_that_has_answered_may_go_again(server: AnsweringServer) -> None:
    server.answer = lambda _: (200, {"Content-Type": "application/json"}, b"{}")
    registry = open_registry()
    registry.check()
    server.answer = lambda _: (404, {"Content-Type": "text/html"}, PAGE)
    with pytest.raises(RegistryUnavailable, match="is not MLflow any more: .*try again later"):
        registry.check()


@pytest.mark.parametrize("status", [409, 413, 422])
def test_a_refusal_of_a_proxy_is_not_called_another_server(server: AnsweringServer, status: int) -> None:
    server.answer = lambda _: (status, {"Content-Type": "text/html"}, PAGE)
    with pytest.raises(InvalidRecipe, match=f"a proxy before it, refused its registered models with status {status}"):
        open_registry().check()


def test_redirects_in_circles_are_another_server(server: AnsweringServer) -> None:
    server.answer = lambda request: (302, {"Location": request.path}, b"")
    with pytest.raises(InvalidRecipe, match=f"is not MLflow, .*redirects.*{CORRECT}"):
        open_registry().check()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_proxy_without_its_server_may_have_it_again(server: AnsweringServer, status: int) -> None:
    server.answer = lambda _: (status, {"Content-Type": "text/html"}, PAGE)
    with pytest.raises(RegistryUnavailable, match="try again later, or check the host of the connection"):
        open_registry().check()


def test_a_refusal_has_the_servers_own_words(server: AnsweringServer) -> None:
    server.answer = lambda _: (403, {}, b"Invalid Host header - possible DNS rebinding attack detected")
    with pytest.raises(AccessDenied, match="refused its registered models .*Invalid Host header.*'hallmark_mlflow'"):
        open_registry().check()


def test_a_server_that_answers_is_fine(server: AnsweringServer) -> None:
    server.answer = lambda _: (200, {"Content-Type": "application/json"}, b"{}")
    open_registry().check()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "address",
    ["mlflow.acme:5000", "htps://mlflow.acme", "/srv/mlflow", "sqlite:///x", "http://[bad", "http://", "http://a:b"],
)
def test_what_is_no_address_of_a_server_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InvalidRecipe, match=f"^MLFLOW_TRACKING_URI is '.*', which is not an address .*{CORRECT}"):
        open_registry()


def test_a_certificate_that_is_not_trusted_is_not_an_outage() -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(InvalidRecipe, match="certificate of https://m was not accepted .*; set REQUESTS_CA_BUNDLE"):
        _raise(
            MlflowException("failed with exception (Caused by SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
        )


def test_a_certificate_of_the_artifacts_store_that_is_not_trusted_is_not_an_outage() -> None:
    from botocore.exceptions import SSLError

    untrusted = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    with pytest.raises(InvalidRecipe, match="store of MLflow's artifacts was not accepted .*; set AWS_CA_BUNDLE"):
        _raise(SSLError(endpoint_url="https://s3", error=untrusted))


def _raise(error: Exception) -> None:
    with registry_errors("https://m", "x", answered=False):
        raise error
