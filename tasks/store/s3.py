"""The store in an S3 bucket, of AWS or of any server with the same API.

Settings come from the environment variables of boto3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION,
AWS_ENDPOINT_URL_S3, AWS_REQUEST_CHECKSUM_CALCULATION and AWS_RESPONSE_CHECKSUM_VALIDATION (`when_required` for servers
that refuse the newer checksums). The credentials need permission to list, get, put and delete objects below the prefix,
and to list and abort multipart uploads.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.exceptions import HTTPError

from tasks.errors import (
    AccessDenied,
    CredentialsExpired,
    DiskFull,
    InvalidRecipe,
    NotFound,
    StoreUnavailable,
    Unsupported,
)
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat, Unfinished
from tasks.store.hashing import HashingReader, HashingWriter, copy_blocks
from tasks.store.names import check_name, check_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MEBIBYTE = 1024 * 1024

TRANSFER = TransferConfig(
    multipart_threshold=64 * MEBIBYTE,
    multipart_chunksize=64 * MEBIBYTE,
    max_concurrency=2,
    # The CRT client ignores endpoint_url and would talk to AWS.
    preferred_transfer_client="classic",
)
# Parts that were read and wait to be sent; with boto's default of ten they would take 640 MiB.
TRANSFER.max_in_memory_upload_chunks = 2
"""Parts of 64 MiB, two at a time: memory stays below 300 MiB, and a 600 GB file below S3's limit of 10,000 parts."""


CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
"""Timeouts of one request, which is then retried."""

ATTEMPTS = 11
"""Tries of one request, with pauses that double from 0.05 s: half a minute, enough to restart a server that died.

This also resumes uploads. Each part is a request of its own, so only the part that broke is sent again. A task that was
killed does not resume: it begins a new attempt, because it must send the very bytes that it hashes.
"""


NOT_UNDERSTOOD = {
    "NotImplemented",
    "InvalidRequest",
    "InvalidArgument",
    "MissingContentLength",
    "XAmzContentSHA256Mismatch",
}
"""Error codes of servers that do not know a header or an encoding; a retry does not help."""


FULL = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}
"""Error codes, with status 400 or 403, of servers whose quota is used up. Full disks have the status 507."""


EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
"""Error codes, with status 400, 401 or 403, for credentials whose time is over."""

WITHDRAWN = {"InvalidAccessKeyId", "InvalidToken", "400"}
"""Error codes for credentials that the server does not know. It knew them if they worked before.

An answer to HEAD has no text, so its code is its status: AWS answers 400 where a token has expired.
"""


BROKEN = (BotoCoreError, HTTPError)
"""What a broken connection raises; boto passes on urllib3's error for broken encryption."""


class S3Store:
    """Objects below `s3://bucket/prefix`. S3 itself shows an object only when it is complete."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.url = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self._worked = False
        try:
            # A session of its own: boto's shared one keeps the credentials that it found first.
            self._client: S3Client = boto3.session.Session().client(
                "s3",
                config=Config(
                    signature_version="s3v4",
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=ANSWER_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise InvalidRecipe(
                f"The store {self.url} cannot be reached with these settings: {error}; "
                "correct the connection 'hallmark_store', or the AWS_ variables where there is none."
            ) from error

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Send a file, in parts where it is large; its bytes are read once."""
        with self._errors(name), source.open("rb") as raw:
            reader = HashingReader(raw)
            # boto asks for no more of a file than `read`; its stubs ask for all that a file can do.
            self._client.upload_fileobj(cast("IO[bytes]", reader), self.bucket, self._key(name), Config=TRANSFER)
        entry = reader.entry(name)
        if entry.size != source.stat().st_size:
            raise StoreUnavailable(f"{source.name} changed while it was sent to {self.url}.")
        return entry

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object."""
        with self._errors(name):
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data)
        return FileEntry(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def get_file(self, name: str, destination: Path) -> FileEntry:
        """Stream an object to a file, hashed on the way; after a broken connection it continues where it stopped."""
        with self._errors(name):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            size, version = answer["ContentLength"], answer["ETag"]
            with destination.open("wb") as raw:
                target = HashingWriter(raw)
                while True:
                    before = target.size
                    try:
                        copy_blocks(answer["Body"], target)
                        break
                    except BROKEN:
                        if target.size == before:
                            raise
                    answer = self._client.get_object(
                        Bucket=self.bucket, Key=self._key(name), Range=f"bytes={target.size}-", IfMatch=version
                    )
        if target.size != size:
            raise StoreUnavailable(f"{self.url}/{name} ended after {target.size} of {size} bytes.")
        return target.entry(name)

    def get_bytes(self, name: str) -> bytes:
        """Return a small object."""
        with self._errors(name):
            return self._client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read()

    def stat(self, name: str) -> ObjectStat | None:
        """Return the object's size, or None."""
        key = self._key(name)
        try:
            with self._errors(name):
                return ObjectStat(name, self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
        except NotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Yield objects page by page; S3 lists in name order."""
        check_prefix(prefix, self.url)
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", []):
                    yield ObjectStat(found["Key"].removeprefix(self.prefix), found["Size"])

    def delete(self, name: str) -> None:
        """Remove an object; S3 reports no error if there is none."""
        with self._errors(name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Yield multipart uploads in progress, page by page."""
        check_prefix(prefix, self.url)
        with self._errors(prefix):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for found in page.get("Uploads", []):
                    yield Unfinished(found["Key"].removeprefix(self.prefix), found["UploadId"], found["Initiated"])

    def discard(self, upload: Unfinished) -> None:
        """Abort a multipart upload, which frees its parts."""
        with self._errors(upload.name), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=self._key(upload.name), UploadId=upload.upload)

    def uri(self, name: str) -> str:
        """Return an s3:// address."""
        return f"{self.url}/{name}"

    def _key(self, name: str) -> str:
        check_name(name, self.url)
        return self.prefix + name

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn boto's errors into ours, and decide which of them a retry can help."""
        try:
            yield
            self._worked = True
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code == "NoSuchUpload":
                raise StoreUnavailable(f"The store {self.url} forgot the parts of {name} that it had.") from error
            if code in ("NoSuchKey", "404", "NotFound") or (status == 404 and code != "NoSuchBucket"):
                raise NotFound(f"The store {self.url} holds no {name}.") from error
            if code == "NoSuchBucket":
                raise NotFound(
                    f"The bucket {self.bucket!r} does not exist; create it or change HALLMARK_STORE."
                ) from error
            if code in FULL or status == 507:
                raise DiskFull(
                    f"The store {self.url} has no room for {name} ({code}); free some there or have its quota raised, "
                    "or name another store in HALLMARK_STORE, and clear the task."
                ) from error
            if code in EXPIRED or (code in WITHDRAWN and self._worked):
                raise CredentialsExpired(
                    f"The store {self.url} no longer accepts its credentials ({code}); renew them in the connection "
                    "'hallmark_store', or in the AWS_ variables where there is none, check this host's clock, and "
                    "clear the task."
                ) from error
            if status in (401, 403):
                raise AccessDenied(
                    f"The store {self.url} refused {error.operation_name} of {name!r} ({code}); "
                    "check its credentials, what they allow, and this host's clock."
                ) from error
            if code in NOT_UNDERSTOOD:
                raise Unsupported(
                    f"The store {self.url} did not understand what it was asked about {name} ({code}); if it refuses "
                    "the newer checksums, set request_checksum_calculation and response_checksum_validation to "
                    "'when_required' in the extra of the connection 'hallmark_store'."
                ) from error
            raise StoreUnavailable(f"The store {self.url} failed on {name}: {code} {status}.") from error
        except NoCredentialsError as error:
            raise AccessDenied(
                f"The store {self.url} was given no credentials; "
                "set login and password of the connection 'hallmark_store', or boto3's own variables."
            ) from error
        except BROKEN as error:
            raise StoreUnavailable(f"The store {self.url} did not answer for {name}: {error}.") from error
