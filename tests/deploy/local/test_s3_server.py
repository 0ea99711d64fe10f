"""The S3 server, asked by boto3: it must refuse what Amazon's would refuse."""

import base64
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.local.s3_filters import MAX_ENTRIES, MemoryCache
from deploy.local.s3_server import render_proxy

PARTS = TransferConfig(
    multipart_threshold=2**20, multipart_chunksize=5 * 2**20, max_concurrency=2, preferred_transfer_client="classic"
)


def status(error: pytest.ExceptionInfo[ClientError]) -> int:
    return int(error.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_objects_come_back_with_their_metadata_and_are_counted(s3_server: Any) -> None:
    s3, before = s3_server.client(), len(s3_server.requests("GET", "plain/a b"))
    s3.put_object(Bucket=s3_server.bucket, Key="plain/a b", Body=b"hallmark", Metadata={"sha256": "0" * 64})
    answer = s3.get_object(Bucket=s3_server.bucket, Key="plain/a b")
    assert answer["Body"].read() == b"hallmark" and answer["Metadata"] == {"sha256": "0" * 64}
    assert s3.get_object(Bucket=s3_server.bucket, Key="plain/a b", Range="bytes=2-3")["Body"].read() == b"ll"
    rows = s3_server.requests("GET", "plain/a b")[before:]
    assert [(row["status"], row["sent"]) for row in rows] == [(200, 8), (206, 2)]
    (put,) = s3_server.requests("PUT", "plain/a b")
    assert put["received"] == 8


def test_a_wrong_secret_is_refused(s3_server: Any) -> None:
    with pytest.raises(ClientError) as refused:
        s3_server.client(secret_key="0" * 32).list_objects_v2(Bucket=s3_server.bucket)
    assert status(refused) == 403


@pytest.mark.parametrize(("path", "code"), [("assay", "412"), ("v1/AUTH_hallmark/assay", "401")])
def test_the_anonymous_are_refused(s3_server: Any, path: str, code: str) -> None:
    # Without a signature it is no S3 request, and Swift's own API asks for a token.
    with pytest.raises(urllib.error.HTTPError, match=code):
        urllib.request.urlopen(f"{s3_server.url}/{path}")


def test_a_wrong_checksum_is_refused_and_leaves_nothing(s3_server: Any) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(ClientError) as refused:
        s3_server.client().put_object(Bucket=s3_server.bucket, Key="wrong", Body=b"hallmark", ChecksumSHA256=wrong)
    assert status(refused) == 400
    with pytest.raises(ClientError) as absent:
        s3_server.client().head_object(Bucket=s3_server.bucket, Key="wrong")
    assert status(absent) == 404


def test_a_file_sent_in_parts_comes_back_whole(s3_server: Any, tmp_path: Path) -> None:
    content = os.urandom(12 * 2**20)
    (tmp_path / "file").write_bytes(content)
    s3_server.client().upload_file(str(tmp_path / "file"), s3_server.bucket, "parts/file", Config=PARTS)
    s3_server.client().download_file(s3_server.bucket, "parts/file", str(tmp_path / "back"), Config=PARTS)
    assert (tmp_path / "back").read_bytes() == content
    uploads = [row for row in s3_server.requests("PUT", "parts/file") if "partNumber" in row["query"]]
    assert len(uploads) == 3
    # Chunks are framed on the wire, so a little more arrives than the file holds.
    assert sum(row["received"] for row in uploads) >= len(content)


@pytest.mark.parametrize("signatures", ["s3v4", "s3"])
def test_a_presigned_address_works_alone_and_is_not_logged(s3_server: Any, signatures: str) -> None:
    keys: dict[str, Any] = {"aws_access_key_id": s3_server.access_key, "aws_secret_access_key": s3_server.secret_key}
    config: Any = Config(signature_version=signatures, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=s3_server.url, region_name="us-east-1", config=config, **keys)
    s3_server.client().put_object(Bucket=s3_server.bucket, Key="signed", Body=b"hallmark")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": s3_server.bucket, "Key": "signed"})
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == b"hallmark"
    assert "Signature" in address and "ignature" not in s3_server.log.read_text()
    assert "wsaccesskeyid" not in s3_server.log.read_text().lower()


def test_a_listing_pages_through_a_prefix(s3_server: Any) -> None:
    s3 = s3_server.client()
    for number in range(25):
        s3.put_object(Bucket=s3_server.bucket, Key=f"listed/{number:02}", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=s3_server.bucket, Prefix="listed/", PaginationConfig={"PageSize": 10}
    )
    assert [item["Key"] for page in pages for item in page["Contents"]] == [f"listed/{n:02}" for n in range(25)]


@pytest.mark.parametrize(("key", "secret"), [("plain", "s" * 8), ("a:b", "two words"), ("a:b", "50%"), ("a:", "s")])
def test_credentials_that_swift_cannot_hold_are_named(key: str, secret: str) -> None:
    with pytest.raises(ValueError, match="AWS_"):
        render_proxy(Path("/etc/none"), key, secret)


def test_the_cache_forgets_what_is_over_or_too_much() -> None:
    cache = MemoryCache()
    cache.set("gone", 1, time=-1)
    assert cache.get("gone") is None
    for number in range(MAX_ENTRIES + 1):
        cache.set(str(number), number)
    assert cache.get("0") is None and cache.get("1") == 1
    assert cache.incr("count", 3) == 3 and cache.decr("count", 5) == 0
