"""Artifacts in a store: found by key, written so that the manifest comes last."""

import secrets
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import Corrupt, NotFound, TerminalError
from tasks.manifest import FileEntry, Manifest, manifest_name
from tasks.store.base import Store
from tasks.store.cache import WorkerCache


def read_manifest(store: Store, key: str) -> Manifest:
    """Return the manifest of `key`; raises NotFound where there is none and Corrupt where it is not one."""
    data = store.get_bytes(manifest_name(key))
    try:
        manifest = Manifest.from_json(data)
    except ValueError as error:
        raise Corrupt(f"{store.url}/{manifest_name(key)} is no manifest: {error}") from error
    if manifest.key != key:
        raise Corrupt(f"{store.url}/{manifest_name(key)} is the manifest of another key.")
    return manifest


def find_artifact(store: Store, key: str) -> Manifest | None:
    """Return the manifest of `key` if it is there and every file is there in its size; None means: make it."""
    try:
        manifest = read_manifest(store, key)
    except NotFound:
        return None
    present = {found.name: found.size for found in store.list(manifest.prefix)}
    complete = all(present.get(manifest.prefix + entry.path) == entry.size for entry in manifest.files)
    return manifest if complete else None


def new_attempt() -> str:
    """Return a fresh name for an attempt, so that two writers of one key never mix their files."""
    return secrets.token_hex(6)


def send_files(store: Store, prefix: str, folder: Path, cache: WorkerCache) -> tuple[FileEntry, ...]:
    """Send every file of a folder below `prefix` and return their entries, paths relative to the folder.

    Each file is read once, hashed as it goes, and kept in the worker cache. Raises TerminalError for an empty folder
    (doing nothing is never success) and for anything that is no plain file.
    """
    entries = []
    for path in _plain_files(folder):
        relative = path.relative_to(folder).as_posix()
        sent = store.put_file(prefix + relative, path)
        entry = sent.model_copy(update={"path": relative})
        cache.adopt(path, entry)
        entries.append(entry)
    if not entries:
        raise TerminalError("The task left no file in its output folder, so there is no artifact to keep.")
    return tuple(entries)


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Make the artifact exist."""
    store.put_bytes(manifest_name(manifest.key), manifest.to_json().encode())


def remove_attempt(store: Store, prefix: str) -> None:
    """Delete what an attempt that lost or failed has sent."""
    for found in list(store.list(prefix)):
        store.delete(found.name)


def _plain_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise TerminalError(f"The task's output holds {path.relative_to(folder)}, which is no plain file.")
        if path.is_file():
            yield path
