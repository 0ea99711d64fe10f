"""A registry that is away, or not configured, is one clear sentence, soon."""

import time

import pytest

from tasks.errors import InvalidRecipe, RegistryUnavailable, TerminalError
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
