"""Downloads one file of the Hub: resumes a partial download, hashes bytes as they arrive, and checks the digest."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import httpx2
from huggingface_hub import hf_raise_for_status

from tasks.errors import Corrupt
from tasks.host.file_lock import exclusive_lock
from tasks.host.shortage import disk_full, is_disk_full
from tasks.retry import Progress, Retry
from tasks.source.hub import ANSWER_SECONDS, HubFile, HubRepository, file_url, request_headers
from tasks.source.hub_errors import explain
from tasks.source.hub_retry import HUB_FAILURES, asked_wait, new_retry
from tasks.source.hub_session import endpoint, hub_session

BLOCK_BYTES = 1024 * 1024
RANGE_BYTES = 16 * 1024**3
"""The most that one request asks for. Content delivery networks refuse answers of more than some tens of GB."""

WRONG_DIGESTS = 2
"""How often a whole file may arrive with wrong bytes. The second time, the network is not the cause."""


class Hasher(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


def download(
    repository: HubRepository,
    file: HubFile,
    destination: Path,
    partials: Path,
    arrived: Callable[[int], None],
    progress: Progress,
) -> None:
    """Download a file to `destination`, through a partial file that a later call, or another process, resumes.

    The partial file stays as a hard link of `destination`: a call after a failure elsewhere downloads nothing again.

    arrived: called with the number of bytes of each block, and with a negative number for discarded bytes.
    progress: called with a message before each wait.

    Raises HubUnavailable or RateLimited where the Hub does not answer (the partial file is kept), DiskFull where the
    disk has no space (the partial file is removed), and Corrupt where the bytes do not have the Hub's digest.
    """
    partials.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(partial_lock(partials, file.digest)):
        partial = _Partial(partials / file.digest, file)
        arrived(partial.size)
        for _ in range(WRONG_DIGESTS):
            try:
                _complete(partial, repository, file, arrived, new_retry(progress))
            except OSError as error:
                if not is_disk_full(error):
                    raise
                # Free the space again. The partial files of the other downloads are kept.
                partial.discard()
                writing = f"{file.path} of {repository.name}"
                raise disk_full(partials, writing, file.size, error=error) from error
            if partial.is_right():
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.link(partial.path, destination)
                return
            arrived(-partial.size)
            partial.discard()
    raise Corrupt(
        f"{file.path} of {repository.name} arrived {WRONG_DIGESTS} times with another digest than {endpoint()} lists "
        f"({file.digest}); check the proxy or mirror in between, or ask the publisher to upload it again."
    )


class _Partial:
    """The bytes that have arrived so far, on disk and in the running digest."""

    def __init__(self, path: Path, file: HubFile) -> None:
        self.path = path
        self.file = file
        self.size = 0
        self._hasher = self._new_hasher()
        if path.exists():
            self._take_up()

    def is_right(self) -> bool:
        """Whether all bytes are there and have the Hub's digest."""
        return self.size == self.file.size and self._hasher.hexdigest() == self.file.digest

    def append(self, blocks: Iterator[bytes], arrived: Callable[[int], None]) -> None:
        """Write and hash blocks until they end, or until there are too many; then `is_right` is false."""
        with self.path.open("ab") as target:
            for block in blocks:
                target.write(block)
                self._hasher.update(block)
                self.size += len(block)
                arrived(len(block))
                if self.size > self.file.size:
                    return

    def discard(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self.size = 0
        self._hasher = self._new_hasher()

    def _take_up(self) -> None:
        stat = self.path.stat()
        # More than one hard link means that the file is complete and shared with the cache: never append.
        if stat.st_size > self.file.size or (stat.st_nlink > 1 and stat.st_size != self.file.size):
            self.discard()
            return
        with self.path.open("rb") as source:
            while block := source.read(BLOCK_BYTES):
                self._hasher.update(block)
                self.size += len(block)

    def _new_hasher(self) -> Hasher:
        if self.file.sha256:
            return hashlib.sha256()
        # Git's object id of a blob: the sha1 over a header with the size, and the bytes.
        return hashlib.sha1(b"blob %d\0" % self.file.size, usedforsecurity=False)


def _complete(
    partial: _Partial, repository: HubRepository, file: HubFile, arrived: Callable[[int], None], retry: Retry
) -> None:
    """Request the missing bytes until all have arrived, or the Hub has no more. Progress resets the failures."""
    if not partial.path.exists():
        partial.path.touch()
    reached = partial.size
    while partial.size < file.size:
        try:
            if not _request(partial, repository, file, arrived):
                return
            if partial.size <= reached:
                raise httpx2.RemoteProtocolError("an answer without further bytes")
        except HUB_FAILURES as error:
            if partial.size > reached:
                retry.progressed()
            explained = explain(error, endpoint(), repository.name, repository.commit, file.path)
            retry.failed(explained, asked_wait(error))
        reached = max(reached, partial.size)


def _request(partial: _Partial, repository: HubRepository, file: HubFile, arrived: Callable[[int], None]) -> bool:
    """Append what one request returns; returns False where the server's file has another size than the Hub lists.

    The client does not send the token to another host to which it is redirected.
    """
    headers = request_headers()
    if partial.size or file.size > RANGE_BYTES:
        headers["Range"] = f"bytes={partial.size}-{min(partial.size + RANGE_BYTES, file.size) - 1}"
    with hub_session().stream("GET", file_url(repository, file), headers=headers, timeout=ANSWER_SECONDS) as response:
        if response.status_code == 416:
            arrived(-partial.size)
            partial.discard()
            return True
        hf_raise_for_status(response)
        if _announced(response) not in (file.size, 0, None):
            return False
        if partial.size and not _continues(response, partial.size):
            arrived(-partial.size)
            partial.discard()
        # Blocks are written as they arrive: larger ones would lose more bytes when the connection breaks.
        partial.append(response.iter_raw(), arrived)
        return True


def _announced(response: httpx2.Response) -> int | None:
    """The size of the whole file by the answer's headers, or None where they do not say."""
    if response.status_code == 206:
        told = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        told = response.headers.get("Content-Length", "")
    return int(told) if re.fullmatch("[0-9]{1,19}", told) else None


def _continues(response: httpx2.Response, offset: int) -> bool:
    """Whether the answer begins at `offset`; a server may ignore the range and send the whole file (status 200)."""
    if response.status_code != 206:
        return False
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match and int(match[1]) == offset:
        return True
    raise httpx2.RemoteProtocolError("other bytes than were requested")


def partial_lock(partials: Path, digest: str) -> Path:
    """Return the lock file to hold while writing or removing a partial file."""
    return partials / f"{digest}.lock"
