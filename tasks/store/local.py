"""The store in a local folder: for one machine, or a shared file system."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tasks.errors import AccessDenied, HallmarkError, NotFound, StoreUnavailable
from tasks.exhaustion import MEND_STORE, disk_full, is_disk_full
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat, Unfinished
from tasks.store.hashing import copy_hashed
from tasks.store.names import check_name, check_prefix

INCOMING = ".incoming"
"""Folder, inside the root and so on its file system, where objects grow before a rename makes them visible whole.

An object grows in a folder of its own name there, so that it is known of which object a killed writer left a part.
"""

TRIES = 10
"""How often a folder is made again that somebody else has just removed because it was empty."""


class LocalStore:
    """Objects as files below `root`. A reader sees a whole object or none: files appear by an atomic rename."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = f"file://{self.root}"
        self._incoming = self.root / INCOMING

    def put_file(self, name: str, source: Path) -> FileEntry:
        """Copy a file into the store, hashed on the way."""
        with source.open("rb") as raw, self._object(name, source.stat().st_size) as target:
            return copy_hashed(raw, target, name)

    def put_bytes(self, name: str, data: bytes) -> FileEntry:
        """Write a small object."""
        with self._object(name, len(data)) as target:
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
        for path in _files(self.root, prefix):
            name = path.relative_to(self.root).as_posix()
            # A neighbour may be removed while this one is looked at.
            with suppress(FileNotFoundError):
                if not name.startswith(f"{INCOMING}/"):
                    yield ObjectStat(name, path.stat().st_size)

    def delete(self, name: str) -> None:
        """Remove an object, and the folders it leaves empty."""
        path = self._path(name)
        self._unlink(name, path)
        _remove_empty(path.parent, self.root)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Yield what is growing, or has ceased to; `since` is when it was last written to."""
        check_prefix(prefix, self.url)
        for path in _files(self._incoming, prefix):
            name = path.parent.relative_to(self._incoming).as_posix()
            with suppress(FileNotFoundError):
                if name.startswith(prefix):
                    yield Unfinished(name, path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))

    def discard(self, upload: Unfinished) -> None:
        """Remove what was growing."""
        growing = self._incoming / upload.name / upload.upload
        self._unlink(upload.name, growing)
        _remove_empty(growing.parent, self._incoming)

    def uri(self, name: str) -> str:
        """Return a file URI."""
        return f"{self.url}/{name}"

    def presigned(self, name: str, seconds: int) -> str:
        """Return the file's address, which stays good; raises NotFound where there is no such object."""
        if self.stat(name) is None:
            raise NotFound(f"The store {self.url} holds no {name}.")
        return self._path(name).as_uri()

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
            raise self._failure(name, error) from error

    def _unlink(self, name: str, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(name, error) from error

    def _failure(self, name: str, error: OSError) -> HallmarkError:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return AccessDenied(f"The store {self.url} refused access to {name}; check the folder's owner.")
        return StoreUnavailable(f"The store {self.url} did not take {name}: {error}.")

    @contextmanager
    def _object(self, name: str, size: int) -> Iterator[IO[bytes]]:
        """Yield a file to write `size` bytes to.

        It becomes the object when all is written and durable, else nothing of it stays.
        """
        path, growing = self._path(name), self._incoming / name / secrets.token_hex(16)
        try:
            with _create(growing) as target:
                yield target
                target.flush()
                # Durable before it is visible, so that a crash leaves it whole or absent.
                os.fsync(target.fileno())
            _move(growing, path)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(self.root, name, size, MEND_STORE) from error
            raise self._failure(name, error) from error
        finally:
            with suppress(OSError):
                growing.unlink(missing_ok=True)
            _remove_empty(growing.parent, self._incoming)


def _files(root: Path, prefix: str) -> list[Path]:
    """Return the files below `root` whose path there starts with `prefix`, in that path's order.

    Unlike `rglob` it does not mind a folder that somebody removes meanwhile.
    """
    walked = os.walk(root / prefix.rpartition("/")[0])
    found = ((Path(folder) / file) for folder, _, files in walked for file in files)
    named = ((path.relative_to(root).as_posix(), path) for path in found)
    return [path for name, path in sorted(named) if name.startswith(prefix)]


def _create(path: Path) -> IO[bytes]:
    """Make a file in a folder that somebody who finds it empty may be removing."""
    for _ in range(TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return path.open("xb")
    raise FileNotFoundError(f"{path.parent} is removed again and again")


def _move(growing: Path, path: Path) -> None:
    """Rename into a folder that somebody who finds it empty may be removing."""
    for _ in range(TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            growing.replace(path)
            return
    raise FileNotFoundError(f"{path.parent} is removed again and again")


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, up to `root`, as far as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            # Somebody has, or has just, put another object there.
            break
        folder = folder.parent
