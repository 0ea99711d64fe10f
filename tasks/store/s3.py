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
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
)
from urllib3.exceptions import HTTPError

from tasks.errors import AccessDenied, InvalidRecipe, NotFound, StoreUnavailable
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat, Unfinished
from tasks.store.hashing import HashingReader, HashingWriter, copy_blocks
from tasks.store.names import check_name, check_prefix
from tasks.store.s3_errors import CORRECT, explain, one_line

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
            raise explain(error, self.url, name, worked=self._worked) from error
        except RecursionError as error:
            # boto asks for the bucket's region after a redirect, also if the answer to that is a redirect, too.
            raise InvalidRecipe(
                f"The store {self.url} answers {name!r} with redirects in circles, as no S3 server does; {CORRECT}."
            ) from error
        except ParamValidationError as error:
            said = one_line(str(error).removeprefix("Parameter validation failed:"))
            raise InvalidRecipe(
                f"The store {self.url} was not asked for {name!r}, because boto refuses to: {said}; {CORRECT}."
            ) from error
        except NoCredentialsError as error:
            raise AccessDenied(
                f"The store {self.url} was given no credentials; "
                "set login and password of the connection 'hallmark_store', or boto3's own variables."
            ) from error
        except (CredentialRetrievalError, MetadataRetrievalError) as error:
            raise StoreUnavailable(
                f"The store {self.url} was not asked for {name}, because boto got no credentials: "
                f"{one_line(str(error)).rstrip('.')}; check the host's role, or the connection 'hallmark_store'."
            ) from error
        except BROKEN as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise InvalidRecipe(
                    f"The certificate of the store {self.url} was not accepted: {one_line(str(error))}; set "
                    "AWS_CA_BUNDLE on the workers to the file with the certificate of its authority, if that is not "
                    "known here; otherwise correct the server or its address."
                ) from error
            raise StoreUnavailable(
                f"The store {self.url} did not answer for {name}: {one_line(str(error)).rstrip('.')}; check the "
                "server, the network, and endpoint_url in the extra of the connection 'hallmark_store'."
            ) from error
