"""The store in a local folder: for one machine, or a shared file system."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tasks.errors import AccessDenied, NotFound, StoreUnavailable
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat
from tasks.store.hashing import copy_hashed
from tasks.store.names import check_name, check_prefix

INCOMING = ".incoming"
"""Folder, inside the root and so on its file system, where objects grow before a rename makes them visible whole."""

ABANDONED_SECONDS = 24 * 3600
"""An object that nobody has written to for a day is not being written any more."""

MOVE_TRIES = 10


class LocalStore:
    """Objects as files below `root`. A reader sees a whole object or none: files appear by an atomic rename."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = f"file://{self.root}"

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Copy a file into the store, hashed on the way."""
        with source.open("rb") as raw, self._object(name) as target:
            return copy_hashed(raw, target, name)

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object."""
        with self._object(name) as target:
            target.write(data)
        return FileEntry(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def get_file(self, name: str, destination: Path) -> FileEntry:
        """Copy an object out of the store, hashed on the way."""
        with self._opened(name) as raw, destination.open("wb") as target:
            return copy_hashed(raw, target, name)

    def get_bytes(self, name: str) -> bytes:
        """Return a small object."""
        with self._opened(name) as raw:
            return raw.read()

    def stat(self, name: str) -> ObjectStat | None:
        """Return the object's size, or None."""
        path = self._path(name)
        return ObjectStat(name, path.stat().st_size) if path.is_file() else None

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Yield objects by name order; only the folder that the prefix names is walked."""
        check_prefix(prefix, self.url)
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
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                # Somebody has, or has just, put another object there.
                break

    def uri(self, name: str) -> str:
        """Return a file URI."""
        return f"{self.url}/{name}"

    def _path(self, name: str) -> Path:
        check_name(name, self.url)
        if name.partition("/")[0] == INCOMING:
            raise NotFound(f"{name!r} is no name of an object in the store {self.url}; {INCOMING} is its own.")
        return self.root / name

    def _opened(self, name: str) -> IO[bytes]:
        try:
            return self._path(name).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound(f"The store {self.url} holds no {name}.") from error
        except PermissionError as error:
            raise AccessDenied(f"The store {self.url} refused access to {name}; check the folder's owner.") from error

    @contextmanager
    def _object(self, name: str) -> Iterator[IO[bytes]]:
        """Yield a file to write; it becomes the object when all is written and durable, else nothing of it stays."""
        path, growing = self._path(name), self.root / INCOMING / secrets.token_hex(16)
        try:
            growing.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with growing.open("xb") as target:
                yield target
                target.flush()
                # Durable before it is visible, so that a crash leaves it whole or absent.
                os.fsync(target.fileno())
            _move(growing, path)
        except OSError as error:
            raise StoreUnavailable(f"The store {self.url} did not take {name}: {error}.") from error
        finally:
            with suppress(OSError):
                growing.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what killed processes left half-written."""
        for left in (self.root / INCOMING).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                    left.unlink()


def _move(growing: Path, path: Path) -> None:
    """Rename into a folder that a `delete` at the same time may be removing."""
    for _ in range(MOVE_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            growing.replace(path)
            return
    raise FileNotFoundError(f"{path.parent} is removed again and again")
