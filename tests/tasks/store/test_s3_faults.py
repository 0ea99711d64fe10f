"""The network and the server fail in every way they can; the real S3 server is behind a proxy that plants it."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import SSLError
from urllib3.response import HTTPResponse

from tasks import retry
from tasks.errors import AccessDenied, Corrupt, DiskFull, StoreUnavailable, Unsupported
from tasks.manifest import FileEntry, Manifest
from tasks.store import s3
from tasks.store.artifacts import complete_attempt, find_artifact, send_files, write_manifest
from tasks.store.base import Store
from tasks.store.cache import WorkerCache
from tests.fixtures.faulty_proxy import FaultyProxy, Request, answer, cut, flip, reset, stall, unheard

OpenStore = Callable[..., Store]
MEBIBYTE = 2**20
PART = 5 * MEBIBYTE

pytestmark = pytest.mark.parametrize("open_kind", [pytest.param("s3", marks=pytest.mark.servers)], indirect=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses cost nothing, and what is large is not very large."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(s3.TRANSFER, "multipart_threshold", PART)
    monkeypatch.setattr(s3.TRANSFER, "multipart_chunksize", PART)
    monkeypatch.setattr(s3, "ATTEMPTS", 4)
    monkeypatch.setattr(retry, "sleep", lambda _: None)


@pytest.fixture
def proxy(s3_server: Any) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.url) as proxy:
        yield proxy


@pytest.fixture
def faulty(open_kind: OpenStore, proxy: FaultyProxy) -> Store:
    """The store through the proxy; `open_kind()` leads to the same one directly."""
    return open_kind(url=proxy.url)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(2 * PART + MEBIBYTE))
    return source


def entry_of(file: Path, path: str) -> FileEntry:
    content = file.read_bytes()
    return FileEntry(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def a(method: str, **query: str) -> Callable[[Request], bool]:
    """Match a method and parameters of the query."""
    return lambda request: request.method == method and query.items() <= request.query.items()


def end(request: Request) -> bool:
    """Match what makes an object of the parts that were sent."""
    return request.method == "POST" and "uploadId" in request.query


def parts(proxy: FaultyProxy) -> list[str]:
    return sorted(request.query["partNumber"] for request in proxy.seen if "partNumber" in request.query)


def assert_nothing(store: Store) -> None:
    assert list(store.list("")) == [] and list(store.unfinished("")) == []


FLEETING = {
    "SlowDown": answer(503, "SlowDown"),
    "InternalError": answer(500, "InternalError"),
    "RequestTimeout": answer(400, "RequestTimeout"),
    "reset": reset,
    "unheard": unheard,
}


@pytest.mark.parametrize("kind", FLEETING)
def test_what_passes_is_not_noticed(faulty: Store, proxy: FaultyProxy, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"hallmark")
    fault = FLEETING[kind]
    # An answer to HEAD has no body to give a code in.
    for method in ("PUT", "GET") if kind == "RequestTimeout" else ("PUT", "GET", "HEAD"):
        proxy.fail(a(method), fault, times=2)
    sent = faulty.put_file("name", source)
    assert faulty.get_file("name", tmp_path / "back") == sent
    assert faulty.stat("name") and [found.name for found in faulty.list("")] == ["name"]
    assert len([request for request in proxy.seen if request.method == "PUT"]) > 1


def test_a_server_that_does_not_answer_is_not_waited_for(
    open_kind: OpenStore, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ANSWER_SECONDS", 4)
    ended = threading.Event()
    proxy.fail(a("PUT"), stall(50, ended), times=1)
    open_kind(url=proxy.url).put_bytes("name", b"hallmark")
    assert not ended.is_set() and len(proxy.seen) > 1


@pytest.mark.parametrize("part", ["1", "3"])
def test_a_server_that_never_answers_is_reported_and_what_was_sent_is_given_up(
    open_kind: OpenStore, proxy: FaultyProxy, large: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(s3, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    ended = threading.Event()
    proxy.fail(a("PUT", partNumber=part), stall(50, ended))
    store = open_kind(url=proxy.url)
    with pytest.raises(StoreUnavailable, match=r"did not answer for large: .*[Tt]imed? ?out.*\.$"):
        store.put_file("large", large)
    assert not ended.is_set() and parts(proxy).count(part) == 2
    assert_nothing(open_kind())


@pytest.mark.parametrize("kind", ["SlowDown", "InternalError", "reset"])
def test_what_stays_is_reported_and_may_be_tried_again(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, tmp_path: Path, kind: str
) -> None:
    open_kind().put_bytes("there", b"before")
    proxy.fail(lambda request: True, FLEETING[kind])
    calls: list[Callable[[], object]] = [
        lambda: faulty.put_bytes("there", b"after"),
        lambda: faulty.put_file("large", large),
        lambda: faulty.get_bytes("there"),
        lambda: faulty.get_file("there", tmp_path / "back"),
        lambda: faulty.stat("there"),
        lambda: list(faulty.list("")),
        lambda: list(faulty.unfinished("")),
        lambda: faulty.delete("there"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match=r"^The store s3://.*\.$"):
            call()
    assert open_kind().get_bytes("there") == b"before" and not (tmp_path / "back").exists()
    proxy.heal()
    assert faulty.put_file("large", large) == entry_of(large, "large")


FULL = {
    "XMinioStorageFull": 507,
    "XMinioAdminBucketQuotaExceeded": 400,
    "QuotaExceeded": 403,
    "InsufficientStorage": 507,
    "SomethingNew": 507,
}


@pytest.mark.parametrize("code", FULL)
def test_a_store_that_is_full_is_reported_once_and_what_was_sent_gives_its_room_back(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, code: str
) -> None:
    """Terminal: a retry would convert for hours, to be refused again."""
    proxy.fail(a("PUT", partNumber="3"), answer(FULL[code], code))
    proxy.fail(lambda request: request.method == "PUT" and not request.query, answer(FULL[code], code))
    said = rf"^The store s3://\S+ has no room for {{}}: planted \({code}\); free some .* or name another store in HALL"
    with pytest.raises(DiskFull, match=said.format("large")):
        faulty.put_file("large", large)
    with pytest.raises(DiskFull, match=said.format("small")):
        faulty.put_bytes("small", b"x")
    assert parts(proxy).count("3") == 1, "asking again is of no use"
    assert_nothing(open_kind())


def test_a_store_that_is_away_is_not_one_without_the_artifact(faulty: Store, proxy: FaultyProxy) -> None:
    proxy.fail(a("GET"), answer(500, "InternalError"))
    with pytest.raises(StoreUnavailable):
        find_artifact(faulty, "1" * 64)


def test_a_list_that_breaks_on_its_second_page_is_no_list(faulty: Store, proxy: FaultyProxy) -> None:
    for number in range(4):
        faulty.put_bytes(f"{number}", b"")
    faulty._client.meta.events.register(  # type: ignore[attr-defined]
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2}
    )
    proxy.fail(lambda request: "continuation-token" in request.query, answer(500, "InternalError"))
    with pytest.raises(StoreUnavailable):
        list(faulty.list(""))


@pytest.mark.parametrize("fault", [reset, unheard, answer(503, "SlowDown")], ids=["reset", "unheard", "SlowDown"])
def test_a_large_upload_goes_on_with_the_part_that_was_cut(
    faulty: Store, proxy: FaultyProxy, large: Path, tmp_path: Path, fault: Any
) -> None:
    proxy.fail(a("PUT", partNumber="2"), fault, times=1)
    sent = faulty.put_file("large", large)
    assert sent == entry_of(large, "large") == faulty.get_file("large", tmp_path / "back")
    assert parts(proxy) == ["1", "2", "2", "3"], "what the store has is not sent again"
    assert list(faulty.unfinished("")) == []


@pytest.mark.parametrize(
    ("denied", "fault", "error", "said"),
    [
        (
            a("PUT", partNumber="3"),
            answer(403, "AccessDenied"),
            AccessDenied,
            r"UploadPart.*AccessDenied.*what they allow",
        ),
        (a("PUT", partNumber="3"), reset, StoreUnavailable, "did not answer for large"),
        (end, reset, StoreUnavailable, "large"),
        (lambda request: "uploads" in request.query, answer(403, "AccessDenied"), AccessDenied, "CreateMultipart"),
    ],
    ids=["last part denied", "last part reset", "end reset", "begin denied"],
)
def test_a_large_upload_that_ends_early_leaves_nothing(
    faulty: Store,
    open_kind: OpenStore,
    proxy: FaultyProxy,
    large: Path,
    denied: Any,
    fault: Any,
    error: type[Exception],
    said: str,
) -> None:
    proxy.fail(denied, fault)
    with pytest.raises(error, match=said) as told:
        faulty.put_file("large", large)
    assert str(told.value).count("\n") == 0 and str(told.value).endswith(".")
    assert_nothing(open_kind())
    proxy.heal()
    assert faulty.put_file("large", large).size == large.stat().st_size


def test_an_upload_whose_end_was_not_heard_of_is_ended_again(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, tmp_path: Path
) -> None:
    """As on AWS and this server, which remember what they have completed."""
    proxy.fail(end, unheard, times=1)
    assert faulty.put_file("large", large) == entry_of(large, "large")
    assert open_kind().get_file("large", tmp_path / "back") == entry_of(large, "large")
    assert parts(proxy) == ["1", "2", "3"] and list(open_kind().unfinished("")) == []


@pytest.mark.parametrize("times", [1, 2])
def test_an_artifacts_file_whose_end_was_not_heard_of_and_is_forgotten_is_sent_again(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, tmp_path: Path, times: int
) -> None:
    """Other servers know nothing of an upload that they have completed."""
    for _ in range(times):
        proxy.fail(end, unheard, times=1)
        proxy.fail(end, answer(404, "NoSuchUpload"), times=1)
    told = assert_sent_whole(faulty, open_kind(), large, tmp_path, waits=times)
    assert all("forgot the parts of attempt/large" in line for line in told)
    assert parts(proxy) == sorted(["1", "2", "3"] * (times + 1))


def test_what_was_left_of_an_artifacts_file_is_given_up_before_it_is_sent_again(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """The store goes away with a part, so that boto's own giving up is not heard either, and comes back."""
    directly, began = open_kind(), threading.Event()
    left: list[str] = []

    def away(request: Request) -> bool:
        if "partNumber" in request.query:
            began.set()
        return began.is_set()

    def come_back(seconds: float) -> None:
        left.extend(upload.name for upload in directly.unfinished(""))
        proxy.heal()
        proxy.seen.clear()

    proxy.fail(away, reset)
    monkeypatch.setattr(retry, "sleep", come_back)
    assert_sent_whole(faulty, directly, large, tmp_path, waits=1)
    assert left == ["attempt/large"]
    began_again = [request.method for request in proxy.seen if "partNumber" not in request.query]
    assert began_again == ["GET", "DELETE", "POST", "POST"], "what there was, its end, a new one, and its end"


def assert_sent_whole(faulty: Store, directly: Store, large: Path, tmp_path: Path, waits: int) -> list[str]:
    """Send as a task does that has made one large file; messages about waiting are counted."""
    (tmp_path / "output").mkdir()
    large.rename(tmp_path / "output" / "large")
    told: list[str] = []
    (sent,) = send_files(faulty, "attempt/", tmp_path / "output", WorkerCache(tmp_path / "cache", 10**9), told.append)
    assert len(told) == waits and all(line.startswith("The store s3://") and "Trying again" in line for line in told)
    assert sent == directly.get_file("attempt/large", tmp_path / "back").model_copy(update={"path": "large"})
    assert sent == entry_of(tmp_path / "back", "large")
    assert list(directly.unfinished("")) == []
    return told


def test_a_download_that_was_cut_goes_on_where_it_was(
    faulty: Store, proxy: FaultyProxy, large: Path, tmp_path: Path
) -> None:
    sent = faulty.put_file("large", large)
    proxy.seen.clear()
    at = 3 * MEBIBYTE + 17
    proxy.fail(a("GET"), cut(at), times=2)
    assert faulty.get_file("large", tmp_path / "back") == sent == entry_of(tmp_path / "back", "large")
    assert [request.headers["Range"] for request in proxy.seen] == [None, f"bytes={at}-", f"bytes={2 * at}-"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_download_whose_encryption_broke_is_one_that_was_cut(
    faulty: Store, proxy: FaultyProxy, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The servers here speak no TLS, and urllib3's error for it is the one that boto does not take for its own."""
    sent = faulty.put_file("large", large)
    read, reads = HTTPResponse.read, iter(range(10**6))

    def breaks(answer: HTTPResponse, *arguments: Any, **options: Any) -> bytes:
        if next(reads) in range(3, 3 + times):
            raise SSLError("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")
        return read(answer, *arguments, **options)

    proxy.seen.clear()
    monkeypatch.setattr(HTTPResponse, "read", breaks)
    if times == 1:
        assert faulty.get_file("large", tmp_path / "back") == sent
        assert [request.headers["Range"] for request in proxy.seen] == [None, f"bytes={3 * MEBIBYTE}-"]
    else:
        with pytest.raises(StoreUnavailable, match="BAD_RECORD_MAC"):
            faulty.get_file("large", tmp_path / "back")


def test_a_download_that_changed_meanwhile_is_not_mixed(
    faulty: Store, open_kind: OpenStore, proxy: FaultyProxy, large: Path, tmp_path: Path
) -> None:
    directly = open_kind()
    directly.put_file("large", large)

    def replaced(request: Request, forward: Any) -> Any:
        try:
            return cut(3 * MEBIBYTE)(request, forward)
        finally:
            directly.put_file("large", another)

    another = tmp_path / "another"
    another.write_bytes(os.urandom(large.stat().st_size))
    proxy.fail(a("GET"), replaced, times=1)
    with pytest.raises(StoreUnavailable):
        faulty.get_file("large", tmp_path / "back")


def test_a_download_of_which_nothing_comes_ends(faulty: Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    faulty.put_bytes("name", b"x" * 1000)
    proxy.seen.clear()
    proxy.fail(a("GET"), cut(0))
    with pytest.raises(StoreUnavailable):
        faulty.get_file("name", tmp_path / "back")
    assert len(proxy.seen) == 1


@pytest.fixture
def artifact(open_kind: OpenStore, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    store = open_kind()
    key, data = "1" * 64, b"weights" * 1000
    entry = store.put_bytes(f"artifacts/{key}/one/weights", data).model_copy(update={"path": "weights"})
    manifest = Manifest(key=key, attempt="one", kind="test", created=datetime.now(UTC), files=(entry,))
    complete_attempt(store, manifest)
    write_manifest(store, manifest)
    return manifest


def test_a_byte_that_changed_on_its_way_never_enters_the_cache(
    faulty: Store, proxy: FaultyProxy, artifact: Manifest, tmp_path: Path
) -> None:
    cache = WorkerCache(tmp_path / "cache", 10**9)
    proxy.fail(a("GET"), flip(100))
    with pytest.raises(Corrupt, match=r"weights has not the digest of its manifest"):
        cache.materialize(faulty, artifact)
    assert list((tmp_path / "cache" / "blobs").iterdir()) == []
    assert list((tmp_path / "cache" / "trees").glob("*/*")) == []
    proxy.heal()
    proxy.fail(a("GET"), flip(100), times=1)
    tree = cache.materialize(faulty, artifact)
    assert (tree / "weights").read_bytes() == b"weights" * 1000


def test_an_answer_cut_short_never_enters_the_cache(
    faulty: Store, proxy: FaultyProxy, artifact: Manifest, tmp_path: Path
) -> None:
    cache = WorkerCache(tmp_path / "cache", 10**9)
    proxy.fail(a("GET"), cut(0))
    with pytest.raises(StoreUnavailable):
        cache.materialize(faulty, artifact)
    assert list((tmp_path / "cache" / "blobs").iterdir()) == []
    proxy.heal()
    assert (cache.materialize(faulty, artifact) / "weights").stat().st_size == 7000


def test_a_clock_that_is_wrong_is_reported(open_kind: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=3)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: late)
    with pytest.raises(AccessDenied, match=r"RequestTimeTooSkewed.*this host's clock"):
        open_kind().get_bytes("name")


def new_checksum(request: Request) -> bool:
    return any(name.lower().startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-ch")) for name in request.headers)


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidRequest")])
def test_a_store_that_refuses_the_newer_checksums_has_a_setting(
    open_kind: OpenStore,
    proxy: FaultyProxy,
    large: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
) -> None:
    proxy.fail(new_checksum, answer(status, code))
    with pytest.raises(Unsupported, match=rf"{code}.*request_checksum_calculation.*'when_required'.*hallmark_store"):
        open_kind(url=proxy.url).put_file("large", large)
    assert_nothing(open_kind())
    settings = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
    store = open_kind(url=proxy.url, **dict.fromkeys(settings, "when_required"))
    assert store.put_file("large", large) == store.get_file("large", tmp_path / "back")
    store.put_bytes("small", b"x")
    store.delete("small")
    assert [found.name for found in store.list("")] == ["large"]


def test_credentials_never_stand_in_messages(open_kind: OpenStore, s3_server: Any, proxy: FaultyProxy) -> None:
    secret = "5ecret" * 6
    proxy.fail(a("PUT"), reset)
    for url in (proxy.url, s3_server.url):
        with pytest.raises((AccessDenied, StoreUnavailable)) as told:
            open_kind(secret=secret, url=url).put_bytes("name", b"x")
        assert secret not in f"{told.value!r} {told.value.__cause__!r}"
