"""The store in a local folder: for one machine, or a shared file system."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import NotFound, StoreUnavailable
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat
from tasks.store.hashing import copy_hashed

INCOMING = ".incoming"
"""Folder, inside the root and so on its file system, where objects grow before a rename makes them visible whole."""


class LocalStore:
    """Objects as files below `root`. A reader sees a whole object or none: files appear by an atomic rename."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = f"file://{self.root}"

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Copy a file into the store, hashed on the way."""
        with source.open("rb") as raw:
            growing = self._growing()
            try:
                with growing.open("xb") as target:
                    entry = copy_hashed(raw, target, name)
                    self._publish(target.fileno(), growing, name)
            except OSError as error:
                growing.unlink(missing_ok=True)
                raise StoreUnavailable(f"The store {self.url} did not take {name}: {error}.") from error
        return entry

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object."""
        growing = self._growing()
        try:
            with growing.open("xb") as target:
                target.write(data)
                target.flush()
                self._publish(target.fileno(), growing, name)
        except OSError as error:
            growing.unlink(missing_ok=True)
            raise StoreUnavailable(f"The store {self.url} did not take {name}: {error}.") from error
        return FileEntry(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def get_file(self, name: str, destination: Path) -> FileEntry:
        """Copy an object out of the store, hashed on the way."""
        with self._existing(name).open("rb") as raw, destination.open("wb") as target:
            return copy_hashed(raw, target, name)

    def get_bytes(self, name: str) -> bytes:
        """Return a small object."""
        return self._existing(name).read_bytes()

    def stat(self, name: str) -> ObjectStat | None:
        """Return the object's size, or None."""
        path = self._path(name)
        return ObjectStat(name, path.stat().st_size) if path.is_file() else None

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Yield objects by name order; only the folder that the prefix names is walked."""
        folder = self.root / prefix.rpartition("/")[0]
        found = (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()
        names = ((path.relative_to(self.root).as_posix(), path) for path in found)
        for name, path in sorted(names):
            if name.startswith(prefix) and not name.startswith(f"{INCOMING}/"):
                yield ObjectStat(name, path.stat().st_size)

    def delete(self, name: str) -> None:
        """Remove an object, and the folders it leaves empty."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()

    def uri(self, name: str) -> str:
        """Return a file URI."""
        return f"{self.url}/{name}"

    def _path(self, name: str) -> Path:
        if not name or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise NotFound(f"{name!r} is no name of an object in the store {self.url}.")
        return self.root / name

    def _existing(self, name: str) -> Path:
        path = self._path(name)
        if not path.is_file():
            raise NotFound(f"The store {self.url} holds no {name}.")
        return path

    def _growing(self) -> Path:
        folder = self.root / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(16)

    def _publish(self, descriptor: int, growing: Path, name: str) -> None:
        """Make the object durable before it is visible, so that a crash leaves it whole or absent."""
        os.fsync(descriptor)
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        growing.replace(path)
