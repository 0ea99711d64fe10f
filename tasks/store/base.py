"""The interface of a store. A reader sees an object complete or not at all."""

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
    """An upload in progress or abandoned: the object's name, the store's id of the upload, and when it began."""

    name: str
    upload: str
    since: datetime


class Store(Protocol):
    """Named immutable objects. Names are relative, with forward slashes, as in `artifacts/<key>.json`.

    Every method raises StoreUnavailable where a retry may help and AccessDenied where credentials are refused. Reading
    raises NotFound for an object that is not there; a store says so only when it is itself reachable.
    """

    url: str

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Send a file, which is read once and hashed on the way; the entry's path is `name`."""

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object; one of the same name is replaced."""

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
        """Yield the unfinished uploads of objects whose name starts with `prefix`."""

    def discard(self, upload: Unfinished) -> None:
        """Abort an upload; one that is finished or aborted already is no error."""

    def uri(self, name: str) -> str:
        """Return the address at which other tools, such as MLflow, find the object or prefix."""
