"""Hash bytes while they are copied, so that no file is read twice."""

import hashlib
from typing import IO, Protocol

from tasks.manifest import FileEntry

BLOCK = 1024 * 1024
"""Bytes per read: large, so that system calls cost little beside sha256; small, so that memory stays bounded."""


class Readable(Protocol):
    """Anything that is read block by block: a file, or the body of a response."""

    def read(self, count: int = -1, /) -> bytes:
        """Return up to `count` bytes; none at the end."""


class HashingReader:
    """A read-only file that hashes the bytes as they are read. It cannot seek, so no byte is hashed twice."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, count: int = -1) -> bytes:
        """Return up to `count` bytes, as `io.RawIOBase.read` does."""
        data = self._raw.read(count)
        self._hash.update(data)
        self.size += len(data)
        return data

    def entry(self, path: str) -> FileEntry:
        """Return what has been read so far as a file entry."""
        return FileEntry(path=path, size=self.size, sha256=self._hash.hexdigest())


class HashingWriter:
    """A write-only file that hashes what is written through it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`."""
        self._raw.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def entry(self, path: str) -> FileEntry:
        """Return what has been written so far as a file entry."""
        return FileEntry(path=path, size=self.size, sha256=self._hash.hexdigest())


def copy_blocks(source: Readable, destination: HashingWriter) -> None:
    """Copy a stream block by block."""
    while block := source.read(BLOCK):
        destination.write(block)


def copy_hashed(source: Readable, destination: IO[bytes], path: str) -> FileEntry:
    """Copy a stream and return its entry."""
    writer = HashingWriter(destination)
    copy_blocks(source, writer)
    return writer.entry(path)
