"""Model repositories as plain folders: `ROOT/OWNER/NAME/` is a repository, and its files are its branch `main`.

A commit's id is a digest of the paths and contents, so the same files have the same id on every machine. An older
commit of `main` lies whole in `.revisions/COMMIT/` inside the repository.
"""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.host.file_lock import exclusive_lock
from tasks.hub_name import is_repository

REVISIONS = ".revisions"
NOT_SERVED = {REVISIONS, ".git", ".cache"}
"""Names at a repository's top that are no files of the model; `.cache` is what a download by the `hf` tool leaves."""

LFS_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".gguf", ".h5", ".msgpack", ".npz", ".model"}
LFS_BYTES = 10 * 2**20
"""The Hub keeps files of these names, and all larger than 10 MiB, in its large-file store, under their sha256."""

_HASHING = threading.Lock()


@dataclass(frozen=True, order=True)
class HubFile:
    """A file of a revision: path with forward slashes, size in bytes, sha256, and the file that holds the content."""

    path: str
    size: int
    sha256: str
    source: Path

    @property
    def lfs(self) -> bool:
        """Whether the Hub would keep this file in its large-file store."""
        return Path(self.path).suffix in LFS_SUFFIXES or self.size > LFS_BYTES

    @property
    def pointer(self) -> bytes:
        """The pointer that git holds in place of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def blob_id(self) -> str:
        """Git's id of what the repository holds: the content, or a large file's pointer."""
        held = self.pointer if self.lfs else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(held) + held, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Revision:
    """One commit: its 40-hex id, the folder with its files, the files, and the time in epoch seconds."""

    commit: str
    folder: Path
    files: tuple[HubFile, ...]
    time: float

    def file(self, path: str) -> HubFile | None:
        """The file of that path, or None."""
        return next((file for file in self.files if file.path == path), None)


@dataclass(frozen=True)
class Repository:
    """A model repository; `id` is `owner/name`. Revisions come as `main`, then older commits, the latest first."""

    id: str
    folder: Path

    def revisions(self) -> list[Revision]:
        """Every revision, as the folders are now."""
        older = self.folder / REVISIONS
        commits = sorted(older.iterdir(), key=_written, reverse=True) if older.is_dir() else []
        return [self._read(self.folder), *map(self._read, commits)]

    def revision(self, name: str) -> Revision | None:
        """The revision that `main`, or a commit id of at least seven digits, names; None for any other name."""
        if name in ("main", "refs/heads/main"):
            return self._read(self.folder)
        if not re.fullmatch("[0-9a-f]{7,40}", name):
            return None
        return next((revision for revision in self.revisions() if revision.commit.startswith(name)), None)

    def _read(self, folder: Path) -> Revision:
        files = tuple(sorted(_files(folder)))
        digest = hashlib.sha1(f"{self.id}\n".encode(), usedforsecurity=False)
        for file in files:
            digest.update(f"{file.sha256} {file.path}\n".encode())
        time = max((file.source.stat().st_mtime for file in files), default=folder.stat().st_mtime)
        return Revision(digest.hexdigest(), folder, files, time)


def find(roots: Sequence[Path], repository: str) -> Repository | None:
    """Return the repository `owner/name` from the first root that has it, or None."""
    if not is_repository(repository):
        return None
    return next((Repository(repository, root / repository) for root in roots if (root / repository).is_dir()), None)


def repositories(roots: Sequence[Path]) -> list[Repository]:
    """Return all repositories, sorted by id. If two roots have a repository, the first root's counts."""
    found: dict[str, Repository] = {}
    for root in roots:
        for folder in sorted(root.glob("*/*")):
            name = folder.relative_to(root).as_posix()
            if folder.is_dir() and is_repository(name):
                found.setdefault(name, Repository(name, folder))
    return [found[name] for name in sorted(found)]


def publish(roots: Sequence[Path], repository: str, files: Path) -> str:
    """Publish a copy of the folder `files` as the new `main` of a repository in the first root; return its commit id.

    The old `main` stays as an older commit, even if it was in another root. Raises ValueError for a name that the Hub
    would refuse, and for a folder without files.
    """
    if not is_repository(repository):
        raise ValueError(f"{repository!r} is not a name that the Hub takes; write it as owner/name")
    if not files.is_dir() or next(_files(files), None) is None:
        raise ValueError(f"{files} is not a folder with files; name the folder of a checkpoint")
    place = roots[0] / repository
    with exclusive_lock(place.parent / ".publishing"):
        _tidy(place)
        try:
            _replace(find(roots, repository), place, files)
        finally:
            _tidy(place)
    return Repository(repository, place).revisions()[0].commit


def _replace(old: Repository | None, place: Path, files: Path) -> None:
    """Make `place` a repository with the files as `main`, and with the revisions of the old one."""
    incoming, outgoing = _beside(place)
    incoming.mkdir()
    _copy(files, incoming)
    if old is not None:
        before = old.revisions()[0].commit
        if (old.folder / REVISIONS).is_dir():
            shutil.copytree(old.folder / REVISIONS, incoming / REVISIONS, copy_function=shutil.copy2)
        if not (incoming / REVISIONS / before).exists():
            _copy(old.folder, incoming / REVISIONS / before)
            os.utime(incoming / REVISIONS / before)
    if place.exists():
        place.rename(outgoing)
    incoming.rename(place)


def _tidy(place: Path) -> None:
    """Remove what a publication leaves, also one that was killed; the old repository returns if it has no successor."""
    incoming, outgoing = _beside(place)
    if outgoing.exists() and not place.exists():
        outgoing.rename(place)
    for left in (incoming, outgoing):
        if left.is_symlink():
            # A repository may be a link to a checkpoint, which stays.
            left.unlink()
        else:
            shutil.rmtree(left, ignore_errors=True)


def _beside(place: Path) -> tuple[Path, Path]:
    """Return where the new and the old repository lie while they are exchanged; no repository has such a name."""
    return place.with_name(f".{place.name}.incoming"), place.with_name(f".{place.name}.outgoing")


def _copy(source: Path, target: Path) -> None:
    for file in _walk(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name not in NOT_SERVED]
        served = (Path(parent, name) for name in names if Path(parent) != folder or name not in NOT_SERVED)
        yield from (path for path in served if path.is_file())


def _files(folder: Path) -> Iterator[HubFile]:
    for path in _walk(folder):
        stat = path.stat()
        # One at a time: otherwise several requests would each hash a large new model.
        with _HASHING:
            sha256 = _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        yield HubFile(path.relative_to(folder).as_posix(), stat.st_size, sha256, path)


@lru_cache(maxsize=10_000)
def _sha256(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """Return the digest of a file; it is cached while size, time and inode stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _written(folder: Path) -> Any:
    return folder.stat().st_mtime_ns
