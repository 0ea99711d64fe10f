"""The worker cache: what tasks on this host read from the store, kept by digest, so that one release reads it once.

    blobs/<sha256>      one verified, read-only file
    trees/<digest>/     an artifact's files, hard links to blobs
    locks/              one lock a blob (being filled) and a tree (in use)

Hard links and not symbolic ones: engines refuse external data behind a symbolic link, and a link costs no bytes.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import Corrupt
from tasks.manifest import FileEntry, Manifest
from tasks.store.base import Store


class WorkerCache:
    """Files of artifacts on this host's disk; safe for any number of processes at once."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._blobs, self._trees, self._locks = root / "blobs", root / "trees", root / "locks"
        self._limit = limit_bytes
        self._leases: list[IO[bytes]] = []
        for folder in (self._blobs, self._trees, self._locks):
            folder.mkdir(parents=True, exist_ok=True)

    def materialize(self, store: Store, manifest: Manifest) -> Path:
        """Return a read-only folder with the artifact's files; it stays until this process ends.

        Raises Corrupt when the store's bytes do not have the manifest's digest.
        """
        tree = self._trees / manifest.files_digest
        self._lease(tree.name)
        with self._locked(tree.name + ".filling"):
            if not tree.is_dir():
                self._make_room(manifest.size)
                growing = self._trees / f".{secrets.token_hex(8)}"
                for entry in manifest.files:
                    link = growing / entry.path
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(self._blob(store, manifest, entry), link)
                growing.mkdir(exist_ok=True)
                growing.rename(tree)
            os.utime(tree)
        return tree

    def adopt(self, file: Path, entry: FileEntry) -> None:
        """Keep a file that this host just made and sent, so that the next task here need not fetch it."""
        with self._locked(entry.sha256):
            blob = self._blobs / entry.sha256
            if not blob.exists():
                file.chmod(0o444)
                os.link(file, blob)

    def _blob(self, store: Store, manifest: Manifest, entry: FileEntry) -> Path:
        blob = self._blobs / entry.sha256
        with self._locked(entry.sha256):
            if not blob.exists():
                growing = self._blobs / f".{secrets.token_hex(8)}"
                try:
                    arrived = store.get_file(manifest.prefix + entry.path, growing)
                    if (arrived.size, arrived.sha256) != (entry.size, entry.sha256):
                        raise Corrupt(
                            f"{store.url}/{manifest.prefix}{entry.path} has not the digest of its manifest; "
                            "run the release again with 'force' to make it anew."
                        )
                    growing.chmod(0o444)
                    growing.rename(blob)
                finally:
                    growing.unlink(missing_ok=True)
        return blob

    def _make_room(self, wanted: int) -> None:
        """Remove the trees used longest ago, then files that no tree holds, until `wanted` more bytes fit the limit."""
        blobs = [blob.stat() for blob in self._blobs.iterdir() if not blob.name.startswith(".")]
        excess = sum(blob.st_size for blob in blobs) + wanted - self._limit
        if excess <= 0:
            return
        for tree in sorted(self._trees.glob("[!.]*"), key=lambda path: path.stat().st_mtime):
            if self._in_use(tree.name):
                continue
            shutil.rmtree(tree)
            excess -= self._drop_unlinked()
            if excess <= 0:
                return
        self._drop_unlinked()

    def _drop_unlinked(self) -> int:
        freed = 0
        for blob in self._blobs.glob("[!.]*"):
            stat = blob.stat()
            if stat.st_nlink == 1:
                blob.unlink(missing_ok=True)
                freed += stat.st_size
        return freed

    def _lease(self, tree: str) -> None:
        """Hold a shared lock for the life of this process: a tree that somebody reads is never removed."""
        lease = (self._locks / f"{tree}.use").open("ab")
        fcntl.flock(lease, fcntl.LOCK_SH)
        self._leases.append(lease)

    def _in_use(self, tree: str) -> bool:
        with (self._locks / f"{tree}.use").open("ab") as lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self._locks / f"{name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
