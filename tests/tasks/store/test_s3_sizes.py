"""A file that arrives short, or changes while it is sent, is noticed although nothing else fails."""

import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

from botocore.response import StreamingBody
from botocore.stub import Stubber

from tasks.errors import StoreUnavailable
from tasks.store.s3 import S3Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x" * 16)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return S3Store("bucket", "prefix")


@pytest.mark.parametrize(("announced", "arrived"), [(9, b"12345"), (4, b"12345"), (1, b"")])
def test_a_body_of_another_length_than_announced_is_an_outage(
    store: S3Store, tmp_path: Path, announced: int, arrived: bytes
) -> None:
    body = StreamingBody(io.BytesIO(arrived), len(arrived))
    with Stubber(store._client) as server:
        server.add_response("get_object", {"ContentLength": announced, "ETag": '"a"', "Body": body})
        with pytest.raises(StoreUnavailable) as told:
            store.get_file("name", tmp_path / "file")
    assert str(told.value) == f"s3://bucket/prefix/name ended after {len(arrived)} of {announced} bytes."


def test_a_file_that_grows_while_it_is_sent_is_not_taken_for_sent(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"12345")

    def upload(reader: Any, *_: Any, **__: Any) -> None:
        while reader.read(2):
            pass
        with source.open("ab") as growing:
            growing.write(b"6")

    monkeypatch.setattr(store._client, "upload_fileobj", upload)
    with pytest.raises(StoreUnavailable, match=r"^weights changed while it was sent to s3://bucket/prefix\.$"):
        store.put_file("name", source)
