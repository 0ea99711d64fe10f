"""The manifest: what an artifact consists of, where it came from and what it cost. No manifest, no artifact."""

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
            raise ValueError(f"file path {path!r} must be relative, with forward slashes and no '.', '..' or controls")
        return path


class Cost(Model):
    """What making an artifact took: seconds and bytes, the process and all of its children counted."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


class Manifest(Record):
    """The truth about one immutable artifact; written last, so an artifact without one does not exist."""

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
            raise ValueError(f"{both[0]!r} is a file of the artifact, and a folder, too")
        return tuple(sorted(files, key=lambda entry: entry.path))

    @property
    def prefix(self) -> str:
        """The store prefix below which the artifact's files lie; ends with a slash."""
        return f"artifacts/{self.key}/{self.attempt}/"

    @property
    def own_name(self) -> str:
        """The store name of these very bytes, which stay when a forced run makes another attempt the artifact."""
        return attempt_manifest_name(self.key, self.attempt)

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.files)

    @property
    def files_digest(self) -> str:
        """The sha256 over all paths, sizes and digests: what a verdict is bound to."""
        return digest_of([[entry.path, entry.size, entry.sha256] for entry in self.files])

    def file(self, path: str) -> FileEntry:
        """Return the entry of `path`; raises KeyError where the artifact has no such file."""
        for entry in self.files:
            if entry.path == path:
                return entry
        raise KeyError(path)


def manifest_name(key: str) -> str:
    """Return the name in the store of the manifest of `key`."""
    return f"artifacts/{key}.json"


def attempt_manifest_name(key: str, attempt: str) -> str:
    """Return the name in the store of an attempt's own manifest; it stays when another attempt becomes the artifact."""
    return f"artifacts/{key}/{attempt}.json"
