"""What the clients of Hub, store and registry say when they are refused, with everything logged that they can log.

Root logging at DEBUG to standard error, an uncaught error with all that caused it, and the credentials marked: the
masking of a task's own output is not in force here, so this holds without it.
"""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tasks.settings import REPOSITORY
from tests.fixtures.secret_search import Search

LOUD = "import logging; logging.basicConfig(level=logging.DEBUG)\n"
CLIENTS = {
    "hub": "from tasks.source.hub import read_repository; read_repository('acme/tales', 'main', print)",
    "registry": "from tasks.release.registry import open_registry; open_registry().ensure_model('tales', 'a model')",
    "store": "from tasks.store.open import open_store; open_store('s3://bucket').get_bytes('releases/tales')",
}
MARKED = {
    "HF_TOKEN": "hf_marked/Hub+Token=",
    "MLFLOW_TRACKING_USERNAME": "marked-registry-user",
    "MLFLOW_TRACKING_PASSWORD": "marked/Registry+Password=",
    "AWS_ACCESS_KEY_ID": "marked:AccessKey",
    "AWS_SECRET_ACCESS_KEY": "marked/Store+Secret=",
}
SIGNED_WITH = {"AWS_ACCESS_KEY_ID"}
"""botocore logs the request that it signs, and in it the key's name, which opens nothing without the key; only at
DEBUG, which a task of Airflow's forbids it."""


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses everybody, and the Authorization headers it was sent."""
    sent: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            sent.append(self.headers.get("Authorization", ""))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_HEAD = do_PUT = _refuse

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", sent
    server.shutdown()


@pytest.mark.parametrize(
    ("client", "answers"),
    [("hub", True), ("registry", True), ("store", True), ("hub", False), ("registry", False)],
    ids=["hub refuses", "registry refuses", "store refuses", "no hub", "no registry"],
)
def test_a_client_that_fails_loudly_quotes_no_secret(
    client: str, answers: bool, refusing: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, sent = refusing
    sent.clear()
    address = url if answers else "http://127.0.0.1:9"
    # Five attempts with pauses between them are of no interest here.
    once = "import tasks.source.hub_retry as r; r.ATTEMPTS = 1\n" if client == "hub" else ""
    places = {"HF_ENDPOINT": address, "MLFLOW_TRACKING_URI": address, "AWS_ENDPOINT_URL_S3": address}
    settings = {"AWS_DEFAULT_REGION": "us-east-1", "HF_DEBUG": "1", "MLFLOW_LOGGING_LEVEL": "DEBUG", "HF_HOME": "/none"}
    done = subprocess.run(
        [sys.executable, "-c", LOUD + once + CLIENTS[client]],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **places, **settings, **MARKED},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "DEBUG" in said and "Traceback" in said, said[-2000:]
    assert ("AccessDenied" in said) == answers, said[-2000:]
    if answers:
        assert any(is_credential(header) for header in sent), "the credentials were in use"
    leaks = {leak.secret for leak in Search(MARKED).text(said, "standard error")}
    assert leaks == (SIGNED_WITH if client == "store" else set())


def is_credential(header: str) -> bool:
    login = base64.b64encode(f"{MARKED['MLFLOW_TRACKING_USERNAME']}:{MARKED['MLFLOW_TRACKING_PASSWORD']}".encode())
    return any(part in header for part in (MARKED["HF_TOKEN"], login.decode(), MARKED["AWS_ACCESS_KEY_ID"]))
