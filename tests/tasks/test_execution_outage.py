"""The store goes away while a task's output is sent, for longer than its client asks: nothing is made twice."""

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import definitions, retry
from tasks.contract import Spec
from tasks.errors import AccessDenied, DiskFull, StoreUnavailable, TransientError
from tasks.execution import run
from tasks.store import outage, s3
from tasks.store.artifacts import find_artifact
from tasks.store.base import Store
from tests.fixtures.faulty_proxy import Fault, FaultyProxy, Request, answer, reset
from tests.fixtures.servers import S3Server
from tests.tasks.probe import KEYED

PART = 5 * 2**20
OUTAGE_PAUSES = 3
"""Pauses after which the store is back; each follows on all of the client's own tries."""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, the task `probe`, small parts, and few tries without pauses."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "state"))
    monkeypatch.setitem(definitions.FIXED, "probe", KEYED)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(s3.TRANSFER, "multipart_threshold", PART)
    monkeypatch.setattr(s3.TRANSFER, "multipart_chunksize", PART)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    return tmp_path / "state"


@pytest.fixture
def open_at(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Store]:
    """Opens the test's own store at an address."""
    prefix = f"test-{secrets.token_hex(4)}"
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)

    def open_at(url: str) -> Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        return s3.S3Store(s3_server.bucket, prefix)

    return open_at


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.url) as proxy:
        yield proxy


POINTS: dict[str, Callable[[Request, list[Request]], bool]] = {
    "a part": lambda request, _: request.query.get("partNumber") == "2",
    "the end of a file": lambda request, _: request.method == "POST" and "uploadId" in request.query,
    "the second file": lambda request, _: request.method == "PUT" and request.path.endswith("/word.txt"),
    "the last look at what others made": lambda request, seen: (
        request.method == "GET" and any(before.path.endswith("/word.txt") for before in seen)
    ),
    "the attempt's manifest": lambda request, _: request.method == "PUT" and request.path.count("/") == 5,
    "the key's manifest": lambda request, _: request.method == "PUT" and request.path.count("/") == 4,
}
"""From a request, and all up to it, to whether the outage begins with it."""


def from_(point: str, proxy: FaultyProxy) -> Callable[[Request], bool]:
    """Match the request at a point, and all that come after it."""
    begun = threading.Event()

    def matches(request: Request) -> bool:
        if POINTS[point](request, proxy.seen):
            begun.set()
        return begun.is_set()

    return matches


@pytest.mark.servers
@pytest.mark.parametrize("point", POINTS)
def test_an_outage_is_waited_out_and_nothing_is_made_again(
    open_at: Callable[[str], Store],
    proxy: FaultyProxy,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    point: str,
) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == OUTAGE_PAUSES:
            proxy.heal()

    monkeypatch.setattr(retry, "sleep", wait)
    proxy.fail(from_(point, proxy), reset)
    log = tmp_path / "log"
    result = run(Spec(task="probe", parameters={"do": "large", "log": str(log)}), open_at(proxy.url))
    assert len(waited) == OUTAGE_PAUSES and len(log.read_text().splitlines()) == 1
    assert capfd.readouterr().err.count("Trying again in ") == OUTAGE_PAUSES
    store = open_at(s3_server.url)
    manifest = find_artifact(store, str(result.artifact))
    assert manifest and not result.reused and [entry.path for entry in manifest.files] == ["large", "word.txt"]
    for entry in manifest.files:
        found = store.get_file(manifest.prefix + entry.path, tmp_path / "back")
        assert (found.size, found.sha256) == (entry.size, entry.sha256)
    assert list(store.unfinished("")) == [] and len(list(store.list(""))) == 4


@pytest.mark.servers
@pytest.mark.parametrize(
    ("fault", "error", "waits"),
    [
        (answer(403, "AccessDenied"), AccessDenied, 0),
        (answer(507, "XMinioStorageFull"), DiskFull, 0),
        (answer(503, "SlowDown"), StoreUnavailable, len(outage.PAUSES)),
    ],
    ids=["denied", "full", "away for good"],
)
def test_what_no_wait_fixes_ends_and_leaves_nothing(
    open_at: Callable[[str], Store],
    proxy: FaultyProxy,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    error: type[Exception],
    waits: int,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(retry, "sleep", waited.append)
    proxy.fail(lambda request: request.query.get("partNumber") == "2", fault)
    with pytest.raises(error):
        run(Spec(task="probe", parameters={"do": "large"}), open_at(proxy.url))
    assert len(waited) == waits and issubclass(error, TransientError) == bool(waits)
    store = open_at(s3_server.url)
    assert list(store.list("")) == [] and list(store.unfinished("")) == []
