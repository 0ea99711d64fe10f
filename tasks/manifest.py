"""The manifest of an artifact: its files with sizes and digests, the inputs of its task, and the cost.

A task writes the manifest last. An artifact without a manifest does not exist: after a crash, files without one are
removed.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from tasks.model import JsonObject, Model, digest_of
from tasks.records import Record

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(Model):
    """One file of an artifact: its path below the artifact's root, its size in bytes and its sha256."""

    path: str
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _stay_below_the_root(cls, path: str) -> str:
        parts = path.split("/")
        if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
            raise ValueError(
                f"file path {path!r} must be relative, with forward slashes and without '.', '..' or control characters"
            )
        return path


class Cost(Model):
    """The cost of one artifact, in seconds and bytes, for the task's process and all its children."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


class Manifest(Record):
    """The record of one immutable artifact.

    key: the key under which the artifact is found (see tasks/keys.py).
    attempt: the name of the attempt that made it; a forced run makes a new attempt under the same key.
    kind: the name of the task that made it.
    files: the files, sorted by path.
    inputs: names of the task's inputs to their keys.
    versions: names of tools to the versions that made the artifact.
    facts: what the task returned.
    """

    key: Sha256
    attempt: Annotated[str, StringConstraints(pattern=r"^[0-9a-z_-]{1,64}$")]
    kind: str
    created: datetime
    files: tuple[FileEntry, ...]
    inputs: dict[str, Sha256] = {}
    parameters: JsonObject = {}
    versions: dict[str, str] = {}
    facts: JsonObject = {}
    cost: Cost = Cost()

    @field_validator("files")
    @classmethod
    def _sorted_and_unique(cls, files: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        paths = [entry.path for entry in files]
        if len(set(paths)) != len(paths):
            raise ValueError("two files of one artifact have the same path")
        folders = {path[:place] for path in paths for place, mark in enumerate(path) if mark == "/"}
        if both := sorted(folders & set(paths)):
            raise ValueError(f"{both[0]!r} is both a file and a folder of the artifact")
        return tuple(sorted(files, key=lambda entry: entry.path))

    @property
    def prefix(self) -> str:
        """The prefix of the names of the artifact's files in the store. It ends with a slash."""
        return f"artifacts/{self.key}/{self.attempt}/"

    @property
    def own_name(self) -> str:
        """The name of the attempt's manifest in the store. It stays when a forced run replaces the key's manifest."""
        return attempt_manifest_name(self.key, self.attempt)

    @property
    def size(self) -> int:
        """The total size of all files in bytes."""
        return sum(entry.size for entry in self.files)

    @property
    def files_digest(self) -> str:
        """The sha256 of all paths, sizes and digests. A verdict is valid only for the files with this digest."""
        return digest_of([[entry.path, entry.size, entry.sha256] for entry in self.files])

    def file(self, path: str) -> FileEntry:
        """Return the entry of the file `path`. Raises KeyError if the artifact has no such file."""
        for entry in self.files:
            if entry.path == path:
                return entry
        raise KeyError(path)


def manifest_name(key: str) -> str:
    """Return the name of the manifest of `key` in the store."""
    return f"artifacts/{key}.json"


def attempt_manifest_name(key: str, attempt: str) -> str:
    """Return the name of an attempt's manifest in the store. It stays when another attempt replaces the artifact."""
    return f"artifacts/{key}/{attempt}.json"
