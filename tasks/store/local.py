"""The store in a folder: on one machine, or on a file system that several share.

An object grows below `.incoming` in the root and appears under its name by an atomic rename.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tasks.errors import HallmarkError, InvalidRecipe, NotFound, StoreUnavailable
from tasks.host.refusals import refusal
from tasks.host.shortage import FIX_STORE, disk_full, is_disk_full
from tasks.manifest import FileEntry
from tasks.store.base import ObjectStat, Unfinished
from tasks.store.hashing import copy_hashed
from tasks.store.names import check_name, check_prefix

INCOMING = ".incoming"
"""The folder, on the root's file system, where objects grow.

An object grows in a folder of its own name, so that recovery knows of which object a killed writer left a part. The
folder itself is never removed: a root without it has never been written to.
"""

ABSENT = (FileNotFoundError, NotADirectoryError)
"""The errors that mean that nothing is there; after any other error that is unknown."""

TRIES = 10
"""How often a folder is made again if another process removes it, because it is empty, before it is used."""


class _Reading:
    """A file of the store. Its read errors become the store's errors; write errors of the destination do not."""

    def __init__(self, raw: IO[bytes], failure: Callable[[OSError], HallmarkError]) -> None:
        self._raw = raw
        self._failure = failure

    def read(self, count: int = -1) -> bytes:
        """Return up to `count` bytes."""
        try:
            return self._raw.read(count)
        except OSError as error:
            raise self._failure(error) from error


class LocalStore:
    """Objects as files below `root`.

    known: a file on this host's own disk that is written once the store has been seen in use. From then on, a root that
        looks unused means that its file system is not mounted: StoreUnavailable, and not "absent".
    """

    def __init__(self, root: Path, known: Path | None = None) -> None:
        self.root = root.absolute()
        self.url = f"file://{self.root}"
        self._incoming = self.root / INCOMING
        self._known = known

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
        found = self._look(name, self._path(name))
        if found is None:
            self._check_there()
        return ObjectStat(name, found.st_size) if found and stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Yield objects in name order; only the prefix's folder is walked."""
        check_prefix(prefix, self.url)
        for path in self._found(self.root, prefix):
            name = path.relative_to(self.root).as_posix()
            if not name.startswith(f"{INCOMING}/") and (found := self._look(name, path)):
                yield ObjectStat(name, found.st_size)

    def delete(self, name: str) -> None:
        """Remove an object, and the folders it leaves empty."""
        path = self._path(name)
        self._unlink(name, path)
        _remove_empty(path.parent, self.root)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Yield unfinished uploads; `since` is when one was last written to."""
        check_prefix(prefix, self.url)
        for path in self._found(self._incoming, prefix):
            name = path.parent.relative_to(self._incoming).as_posix()
            if name.startswith(prefix) and (found := self._look(name, path)):
                yield Unfinished(name, path.name, datetime.fromtimestamp(found.st_mtime, UTC))

    def discard(self, upload: Unfinished) -> None:
        """Remove an unfinished upload."""
        growing = self._incoming / upload.name / upload.upload
        self._unlink(upload.name, growing)
        _remove_empty(growing.parent, self._incoming)

    def uri(self, name: str) -> str:
        """Return a file URI."""
        return f"{self.url}/{name}"

    def _path(self, name: str) -> Path:
        check_name(name, self.url)
        if name.partition("/")[0] == INCOMING:
            raise NotFound(f"{name!r} is no name of an object in the store {self.url}; {INCOMING} is its own.")
        return self.root / name

    @contextmanager
    def _opened(self, name: str) -> Iterator[_Reading]:
        try:
            raw = self._path(name).open("rb")
        except (*ABSENT, IsADirectoryError) as error:
            self._check_there()
            raise NotFound(f"The store {self.url} holds no {name}.") from error
        except OSError as error:
            raise self._failure(name, error) from error
        with raw:
            yield _Reading(raw, lambda error: self._failure(name, error))

    def _look(self, name: str, path: Path) -> os.stat_result | None:
        try:
            return path.stat()
        except ABSENT:
            # Another process may have removed it just now.
            return None
        except OSError as error:
            raise self._failure(name, error) from error

    def _found(self, root: Path, prefix: str) -> Iterator[Path]:
        try:
            found = _files(root, prefix)
        except OSError as error:
            raise self._failure(prefix or "its folder", error) from error
        self._check_there()
        return iter(found)

    def _check_there(self) -> None:
        """Raise an error where the folder is not what it was, so that an absent object means nothing.

        StoreUnavailable where its file system is not mounted, and InvalidRecipe where it is no folder.
        """
        root = self._look("its folder", self.root)
        if root and not stat.S_ISDIR(root.st_mode):
            raise InvalidRecipe(f"The store {self.url} is not a folder; name one in HALLMARK_STORE.")
        if self._known is None:
            return
        used, known = self._look(INCOMING, self._incoming) is not None, self._known.exists()
        if used and not known:
            self._known.parent.mkdir(parents=True, exist_ok=True)
            self._known.write_text(f"{self.url}\n")
        elif known and not used:
            raise StoreUnavailable(
                f"The store {self.url} has been in use on this host and is not there now; mount its file system, "
                f"or, if it is to begin anew, make the folder {self._incoming}."
            )

    def _unlink(self, name: str, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(name, error) from error

    def _failure(self, name: str, error: OSError) -> HallmarkError:
        refused = refusal(error, f"The store {self.url} refused {name}")
        return refused or StoreUnavailable(f"The store {self.url} failed on {name}: {error}; check its disk.")

    @contextmanager
    def _object(self, name: str, size: int) -> Iterator[IO[bytes]]:
        """Yield a file for the object's `size` bytes.

        It becomes the object once all bytes are on the disk; after an error nothing of it is left.
        """
        path, growing = self._path(name), self._incoming / name / secrets.token_hex(16)
        self._check_there()
        try:
            with _create(growing) as target:
                yield target
                target.flush()
                # Durable before it is visible, so that a crash leaves it whole or absent.
                os.fsync(target.fileno())
            _move(growing, path)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(self.root, name, size, FIX_STORE, error) from error
            raise self._failure(name, error) from error
        finally:
            with suppress(OSError):
                growing.unlink(missing_ok=True)
            _remove_empty(growing.parent, self._incoming)


def _files(root: Path, prefix: str) -> list[Path]:
    """Return the files below `root` whose path there starts with `prefix`, in that path's order.

    A folder that another process removes meanwhile is skipped, unlike in `rglob`. Raises OSError for a folder that is
    there and cannot be read.
    """

    def failed(error: OSError) -> None:
        if not isinstance(error, ABSENT):
            raise error

    walked = os.walk(root / prefix.rpartition("/")[0], onerror=failed)
    found = ((Path(folder) / file) for folder, _, files in walked for file in files)
    named = ((path.relative_to(root).as_posix(), path) for path in found)
    return [path for name, path in sorted(named) if name.startswith(prefix)]


def _create(path: Path) -> IO[bytes]:
    """Make a file in a folder that another process may be removing, because it is empty."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    raise FileNotFoundError(f"{path.parent} is removed again and again")


def _move(growing: Path, path: Path) -> None:
    """Rename into a folder that another process may be removing, because it is empty."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            growing.replace(path)
            return
    raise FileNotFoundError(f"{path.parent} is removed again and again")


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and its parents up to `root`, as long as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            # It holds another object.
            break
        folder = folder.parent
