"""The interface that both stores implement. An object is whole or absent: no reader ever sees half of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tasks.manifest import FileEntry


@dataclass(frozen=True)
class ObjectStat:
    """An object's name in the store and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Unfinished:
    """An object that somebody began to send: its name, the store's own word for this sending, and when it began."""

    name: str
    upload: str
    since: datetime


class Store(Protocol):
    """Named immutable objects. Names are relative, with forward slashes, as in `artifacts/<key>.json`.

    Every method raises StoreUnavailable where a retry may help, AccessDenied where credentials are refused and
    NotFound for an object that is not there.
    """

    url: str

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Send a file; its bytes are read once and hashed as they go. The entry's path is `name`."""

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object, replacing what was there."""

    def get_file(self, name: str, destination: Path) -> FileEntry:
        """Fetch an object to a file, hashed as it arrives; the entry's path is `name`."""

    def get_bytes(self, name: str) -> bytes:
        """Return a small object."""

    def stat(self, name: str) -> ObjectStat | None:
        """Return the object's size, or None where there is none."""

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Yield every object whose name starts with `prefix`, in name order."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Yield what was begun to be sent, below names that start with `prefix`, and is neither there nor given up."""

    def discard(self, upload: Unfinished) -> None:
        """Give up what was begun to be sent; what is given up or complete already is no error."""

    def uri(self, name: str) -> str:
        """Return the address under which other tools (MLflow) find the object or prefix."""
