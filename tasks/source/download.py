"""One file of the Hub: hashed as it arrives, taken up again where it broke off, put in place only when it is right."""

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
"""The most asked for at once: content networks refuse to send more than some tens of GB in one answer."""

WRONG_DIGESTS = 2
"""How often a whole file may arrive with wrong bytes; twice in a row is no fault of the line."""


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
    """Bring a file to `destination`, through a partial that a later call, also of another process, goes on with.

    The partial stays, and is the same file on the disk: a call after a failure elsewhere fetches nothing again.
    `arrived` is told the bytes that came with each block, and negative numbers for bytes that had to be thrown away;
    `progress`, each wait. Raises HubUnavailable or RateLimited where the Hub stays away (the partial is kept), DiskFull
    where there is no space (it goes), and Corrupt where the bytes are not those of the Hub's digest.
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
                # The disk does not stay full: what has come of the other files is kept.
                partial.discard()
                writing = f"{file.path} of {repository.name}"
                raise disk_full(partials, writing, file.size) from error
            if partial.is_right():
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.link(partial.path, destination)
                return
            arrived(-partial.size)
            partial.discard()
    raise Corrupt(
        f"{file.path} of {repository.name} arrived {WRONG_DIGESTS} times with other bytes than {endpoint()} promises "
        f"({file.digest}); check the proxy or mirror in between, or ask the publisher to upload it again."
    )


class _Partial:
    """The bytes that are there so far, on disk and in the running digest."""

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
        """Write and hash blocks, until there are no more or already too many: then it is not right."""
        with self.path.open("ab") as target:
            for block in blocks:
                target.write(block)
                self._hasher.update(block)
                self.size += len(block)
                arrived(len(block))
                if self.size > self.file.size:
                    return

    def discard(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self.size = 0
        self._hasher = self._new_hasher()

    def _take_up(self) -> None:
        stat = self.path.stat()
        # What has other names is whole, and must not grow: the worker cache holds it, too.
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
    """Ask for what is missing until nothing is, or the Hub has no more; failures count while nothing new arrives."""
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
    """Take what one request gives; False where what the server has is of another size than the Hub lists.

    Following a redirect to another host, the client leaves the token behind.
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
        # Blocks as they come: collecting them into larger ones would lose what had come when the line breaks.
        partial.append(response.iter_raw(), arrived)
        return True


def _announced(response: httpx2.Response) -> int | None:
    """The size of the whole file, as the answer tells it, or None where it does not."""
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
    raise httpx2.RemoteProtocolError("other bytes than were asked for")


def partial_lock(partials: Path, digest: str) -> Path:
    """Return the file whose lock who writes or removes a partial holds."""
    return partials / f"{digest}.lock"
