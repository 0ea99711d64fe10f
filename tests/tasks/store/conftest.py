"""The two stores, so that one suite of tests holds for both."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.store.base import Store
from tasks.store.local import LocalStore
from tasks.store.open import open_store

KINDS = ["local", pytest.param("s3", marks=pytest.mark.servers)]
OpenStore = Callable[..., Store]


@pytest.fixture(params=KINDS)
def open_kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenStore:
    """Opens the test's own store, again with each call; `secret` replaces the right one."""
    if request.param == "local":
        return lambda: LocalStore(tmp_path / "store")
    server, prefix = request.getfixturevalue("s3_server"), f"test-{secrets.token_hex(4)}"

    def open_s3(secret: str | None = None, url: str | None = None, **variables: str) -> Store:
        from tasks.store.s3 import S3Store

        with pytest.MonkeyPatch.context() as patch:
            _set(patch, {**server.environment(), **variables})
            if secret:
                patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            if url:
                patch.setenv("AWS_ENDPOINT_URL_S3", url)
            return S3Store(server.bucket, prefix)

    return open_s3


def _set(patch: pytest.MonkeyPatch, variables: dict[str, Any]) -> None:
    # A developer's own settings are none of the test's.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in variables.items():
        patch.setenv(name, value)


@pytest.fixture
def store(open_kind: OpenStore) -> Store:
    """An empty store of either kind."""
    return open_kind()


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of either kind, and the environment with which any process opens it as its own."""
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/store")
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        _set(monkeypatch, server.environment())
        monkeypatch.setenv("HALLMARK_STORE", f"s3://{server.bucket}/test-{secrets.token_hex(4)}")
    return open_store()
