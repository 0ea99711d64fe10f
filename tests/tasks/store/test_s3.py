"""What is particular to the store in a bucket: credentials, large files in parts, and lines that break."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tasks.errors import AccessDenied, InvalidRecipe, StoreUnavailable
from tasks.store.base import Store
from tasks.store.hashing import HashingReader
from tasks.store.s3 import TRANSFER, S3Store

OpenStore = Callable[..., Store]
MEBIBYTE = 2**20

pytestmark = pytest.mark.parametrize("open_kind", [pytest.param("s3", marks=pytest.mark.servers)], indirect=True)


def test_wrong_credentials_and_a_missing_object_differ(open_kind: OpenStore, tmp_path: Path) -> None:
    open_kind().put_bytes("name", b"x")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    store = open_kind(secret="0" * 32)
    calls: list[Callable[[], object]] = [
        lambda: store.get_bytes("name"),
        lambda: store.get_file("name", tmp_path / "back"),
        lambda: store.stat("name"),
        lambda: store.put_bytes("name", b"y"),
        lambda: store.put_file("name", source),
        lambda: list(store.list("")),
        lambda: store.delete("name"),
    ]
    for call in calls:
        with pytest.raises(AccessDenied, match="check its credentials"):
            call()
    assert open_kind().get_bytes("name") == b"x"


def test_a_bucket_that_does_not_exist_is_named(
    open_kind: OpenStore, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRecipe, match=r"bucket 'no-such-bucket' does not exist; create it"):
        S3Store("no-such-bucket").get_bytes("name")


def test_a_server_that_is_away_may_come_back(open_kind: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        store = open_kind(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StoreUnavailable, match="did not answer for name"):
            store.get_bytes("name")


def test_a_large_file_goes_in_parts_and_its_bytes_are_read_once(
    open_kind: OpenStore, tmp_path: Path, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    block = bytes(range(256)) * 4096
    with source.open("wb") as target:
        for number in range(70):
            target.write(number.to_bytes() + block[1:])
    digest = hashlib.file_digest(source.open("rb"), "sha256").hexdigest()
    assert source.stat().st_size > TRANSFER.multipart_threshold
    store = open_kind()
    sent = store.put_file("large", source)
    assert (sent.size, sent.sha256) == (70 * MEBIBYTE, digest)
    assert store.get_file("large", tmp_path / "back") == sent
    key = f"{store.url.removeprefix(f's3://{s3_server.bucket}/')}/large"
    parts = [row["received"] for row in s3_server.requests("PUT", key)]
    assert sorted(parts) == [6 * MEBIBYTE, 64 * MEBIBYTE]


def test_a_large_upload_that_breaks_leaves_no_parts(
    open_kind: OpenStore, tmp_path: Path, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    with source.open("wb") as target:
        target.truncate(130 * MEBIBYTE)
    whole = HashingReader.read

    def broken(self: HashingReader, count: int = -1) -> bytes:
        if self.size >= 128 * MEBIBYTE:
            raise OSError("planted fault")
        return whole(self, count)

    monkeypatch.setattr(HashingReader, "read", broken)
    with pytest.raises(OSError, match="planted fault"):
        open_kind().put_file("broken", source)
    assert list(open_kind().list("")) == []
    uploads = s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket).get("Uploads", [])
    assert not [upload for upload in uploads if upload["Key"].endswith("/broken")]


def test_an_upload_that_breaks_leaves_what_was(
    open_kind: OpenStore, tmp_path: Path, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3 * MEBIBYTE)
    open_kind().put_bytes("name", b"before")
    with cutting(s3_server.url, MEBIBYTE) as url, pytest.raises(StoreUnavailable, match="did not answer for name"):
        open_kind(url=url).put_file("name", source)
    assert open_kind().get_bytes("name") == b"before"
    assert [found.name for found in open_kind().list("")] == ["name"]


@contextmanager
def cutting(url: str, limit: int) -> Iterator[str]:
    """Lead to `url`, but cut each connection after so many bytes that went there; gives the address of the cut line."""
    target = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    near, _ = server.accept()
                except OSError:
                    return
                far = socket.create_connection((str(target.hostname), int(target.port or 0)))
                for source, sink, most in ((near, far, limit), (far, near, None)):
                    threading.Thread(target=_pump, args=(source, sink, most), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while data := source.recv(65536):
            passed += len(data)
            if limit is not None and passed > limit:
                break
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
