"""The worker cache: files that tasks on this host have read from the store, kept by digest.

A release reads each file from the store once per host. Any number of processes share the cache.

    blobs/<sha256>        one verified, read-only file
    trees/<digest>/       an artifact's files, as hard links to blobs
    workspaces/<digest>/  what tasks have computed from such a tree; removed with it
    locks/                a lock for each blob and tree while it is made, and one for each tree in use

A verified blob has the time of modification VERIFIED. If its size or time differs, somebody has cut it or written to
it, which its mode does not prevent for root: it is fetched again. A disk that silently returns other bytes goes
unnoticed.

An unfinished blob or tree has its later name with a dot before it. It belongs to the process that holds its lock; if
the lock is free, the process was killed, and the next one removes it.

Links are hard links because engines refuse external data behind a symbolic link; a hard link costs no bytes either.
"""

import os
import secrets
import shutil
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from tasks.errors import Corrupt, HallmarkError, InvalidRecipe, StoreUnavailable
from tasks.host.facts import free_disk_bytes
from tasks.host.file_lock import exclusive_lock, shared_lock, try_lock
from tasks.host.refusals import NO_LINKS, refusal
from tasks.host.shortage import FIX_CACHE, disk_full, is_disk_full
from tasks.manifest import FileEntry, Manifest
from tasks.store.base import Store

LOOKS = 2
"""A file is fetched twice before it counts as corrupt: a byte may have changed in transfer."""

VERIFIED = 946684800
"""Time of modification (the year 2000, in seconds since the epoch) of a file whose digest was verified."""


class WorkerCache:
    """Files of artifacts on this host's disk; safe for any number of processes at once."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._blobs, self._trees, self._locks = root / "blobs", root / "trees", root / "locks"
        self._workspaces = root / "workspaces"
        self._limit = limit_bytes
        self._leases = ExitStack()
        for folder in (self._blobs, self._trees, self._locks, self._workspaces):
            folder.mkdir(parents=True, exist_ok=True)

    def check_links(self, folder: Path) -> None:
        """Raise InvalidRecipe where files of a folder cannot be kept in the cache, by a hard link.

        A link is tried, because some file systems have none, and two mounts of one file system have none between them.
        """
        if folder.stat().st_dev != self._blobs.stat().st_dev:
            raise InvalidRecipe(
                f"{self._blobs.parent} and {folder} are on two file systems, and files are shared between them by hard "
                "links; move the whole state folder, and name its new place in HALLMARK_HOME."
            )
        file, link = folder / f".{secrets.token_hex(8)}", self._blobs / f".{secrets.token_hex(8)}"
        file.touch()
        try:
            os.link(file, link)
        except OSError as error:
            if is_disk_full(error):
                raise
            if error.errno not in NO_LINKS:
                begins = f"A file of {folder} could not be linked to {self._blobs.parent}"
                raise refusal(error, begins) or StoreUnavailable(f"{begins}: {error}; check its disk.") from error
            raise InvalidRecipe(
                f"Files of {folder} cannot get hard links in {self._blobs.parent} ({error}); put the whole state "
                "folder on a local file system that has them, in one mount, and name its new place in HALLMARK_HOME."
            ) from error
        finally:
            file.unlink()
            link.unlink(missing_ok=True)

    def materialize(self, store: Store, manifest: Manifest) -> Path:
        """Return a read-only folder with the artifact's files; it is kept as long as this object lives.

        Raises Corrupt where the store's bytes do not have the manifest's digest.
        """
        tree = self._trees / manifest.files_digest
        self._lease(tree.name)
        with self._locked(tree.name + ".filling"):
            if not all(_is_verified(tree / entry.path, entry) for entry in manifest.files):
                self._retire(tree)
                self._make_room(sum(e.size for e in manifest.files if not (self._blobs / e.sha256).exists()))
                growing = self._trees / f".{tree.name}"
                shutil.rmtree(growing, ignore_errors=True)
                try:
                    for entry in manifest.files:
                        link = growing / entry.path
                        link.parent.mkdir(parents=True, exist_ok=True)
                        self._link(store, manifest, entry, link)
                    growing.rename(tree)
                finally:
                    shutil.rmtree(growing, ignore_errors=True)
            os.utime(tree)
        return tree

    def workspace(self, manifest: Manifest) -> Path:
        """Return the folder for what tasks compute from an artifact. It is removed with the artifact's folder."""
        folder = self._workspaces / manifest.files_digest
        folder.mkdir(exist_ok=True)
        return folder

    def drop_workspace(self, manifest: Manifest) -> None:
        """Remove what tasks computed from an artifact, unless another process uses the artifact at the moment."""
        with self._try_lock(f"{manifest.files_digest}.use") as free:
            if free:
                self._drop_workspace(manifest.files_digest)

    def adopt(self, file: Path, entry: FileEntry) -> None:
        """Keep a file that this host has just made and sent, so that the next task need not fetch it."""
        with self._locked(entry.sha256):
            blob = self._blobs / entry.sha256
            if not _is_verified(blob, entry):
                blob.unlink(missing_ok=True)
                _seal(file)
                os.link(file, blob)

    def _link(self, store: Store, manifest: Manifest, entry: FileEntry, link: Path) -> None:
        """Make `link` a hard link to the file, which is read from the store if it is not here."""
        blob = self._blobs / entry.sha256
        with self._locked(entry.sha256):
            if not _is_verified(blob, entry):
                growing = self._blobs / f".{entry.sha256}"
                name = manifest.prefix + entry.path
                wanted = entry.model_copy(update={"path": name})
                try:
                    if not any(store.get_file(name, growing) == wanted for _ in range(LOOKS)):
                        raise Corrupt(
                            f"{store.url}/{name} has not the digest of its manifest; "
                            "run the release again with 'force' to make it anew."
                        )
                    _seal(growing)
                    growing.rename(blob)
                except OSError as error:
                    raise self._failure(entry, error) from error
                finally:
                    growing.unlink(missing_ok=True)
            # Under the lock, because a blob without links may be removed at any time.
            try:
                os.link(blob, link)
            except OSError as error:
                raise self._failure(entry, error) from error

    def _failure(self, entry: FileEntry, error: OSError) -> HallmarkError:
        if is_disk_full(error):
            return disk_full(self._blobs.parent, entry.path, entry.size, FIX_CACHE, error)
        begins = f"The worker cache {self._blobs.parent} did not take {entry.path}"
        return refusal(error, begins) or StoreUnavailable(f"{begins}: {error}; check its disk.")

    def _make_room(self, wanted: int) -> None:
        """Remove the least recently used trees, and blobs without a tree, until `wanted` more bytes fit.

        They must fit into the limit and onto the disk, which may be smaller than the limit or full of other files.
        """
        self._sweep()
        sizes = [_size(blob) for blob in self._blobs.glob("[!.]*")]
        sizes += [_size(file) for file in self._workspaces.glob("*/*")]
        excess = max(sum(sizes) + wanted - self._limit, wanted - free_disk_bytes(self._blobs))
        for tree in sorted(self._trees.glob("[!.]*"), key=_last_use):
            if excess <= 0:
                return
            with self._try_lock(f"{tree.name}.use") as free:
                if free and tree.is_dir():
                    self._retire(tree)
                    excess -= self._drop_workspace(tree.name) + self._drop_unlinked()
        if excess > 0:
            self._drop_unlinked()

    def _retire(self, tree: Path) -> None:
        """Remove a tree, if there is one; it loses its name first, in one step, so that a kill leaves no half tree."""
        going = self._trees / f".{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            tree.rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def _drop_workspace(self, tree: str) -> int:
        """Remove the workspace of a tree; return the bytes that this freed."""
        folder = self._workspaces / tree
        freed = sum(_size(file) for file in folder.glob("*"))
        shutil.rmtree(folder, ignore_errors=True)
        return freed

    def _drop_unlinked(self) -> int:
        """Remove blobs that no tree links to; return the bytes that this freed."""
        freed = 0
        for blob in self._blobs.glob("[!.]*"):
            with self._try_lock(f"{blob.name}.lock") as free:
                if free and blob.exists() and (stat := blob.stat()).st_nlink == 1:
                    blob.unlink()
                    freed += stat.st_size
        return freed

    def _sweep(self) -> None:
        """Remove what killed processes left unfinished."""
        for left in self._trees.glob(".*"):
            with self._try_lock(f"{left.name[1:]}.filling.lock") as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
        for left in self._blobs.glob(".*"):
            with self._try_lock(f"{left.name[1:]}.lock") as free:
                if free:
                    left.unlink(missing_ok=True)
        for workspace in self._workspaces.iterdir():
            with self._try_lock(f"{workspace.name}.use") as free:
                if free and not (self._trees / workspace.name).exists():
                    shutil.rmtree(workspace, ignore_errors=True)

    def _lease(self, tree: str) -> None:
        """Hold a shared lock for the life of this object: a tree in use is never removed."""
        self._leases.enter_context(shared_lock(self._locks / f"{tree}.use"))

    def _try_lock(self, name: str) -> AbstractContextManager[bool]:
        return try_lock(self._locks / name)

    def _locked(self, name: str) -> AbstractContextManager[None]:
        return exclusive_lock(self._locks / f"{name}.lock")


def _seal(file: Path) -> None:
    """Mark a file as verified."""
    file.chmod(0o444)
    os.utime(file, (VERIFIED, VERIFIED))


def _is_verified(file: Path, entry: FileEntry) -> bool:
    """Whether a file is there, and unchanged since it was verified."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return False
    return (stat.st_size, stat.st_mtime) == (entry.size, VERIFIED)


def _size(file: Path) -> int:
    """Return the size of a file; 0 where another process has just removed it."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _last_use(tree: Path) -> float:
    try:
        return tree.stat().st_mtime
    except FileNotFoundError:
        return 0.0
