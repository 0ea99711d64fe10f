"""Hash bytes while they are on their way, so that no file is read a second time for its digest."""

import hashlib
from typing import IO, Protocol

from tasks.manifest import FileEntry

BLOCK = 1024 * 1024
"""Bytes per read: large enough that system calls cost nothing beside sha256, small enough to bound memory."""


class Readable(Protocol):
    """What can be read block by block: a file, or the body of an answer."""

    def read(self, count: int = -1, /) -> bytes:
        """Return up to `count` bytes; none at the end."""


class HashingReader:
    """A read-only file whose bytes are hashed, in order, as they are read. It cannot seek, so nothing is read twice."""

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
