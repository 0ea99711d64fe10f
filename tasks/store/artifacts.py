"""Artifacts in a store: find one by its key, send one, remove an attempt at one.

The manifest is written last, so an artifact that has one is complete; `tasks.store.recovery` explains the order.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tasks.errors import Corrupt, NotFound, TerminalError
from tasks.manifest import FileEntry, Manifest, manifest_name
from tasks.store.base import Store
from tasks.store.cache import WorkerCache
from tasks.store.outage import retry_store


def read_manifest(store: Store, key: str) -> Manifest:
    """Return the manifest of `key`; raises NotFound, Corrupt or TooNew."""
    manifest = load_manifest(store, manifest_name(key))
    if manifest.key != key:
        raise Corrupt(
            f"{store.url}/{manifest_name(key)} is the manifest of another key; "
            "run the release again with 'force' to make it anew."
        )
    return manifest


def load_manifest(store: Store, name: str) -> Manifest:
    """Return the manifest that is the object `name`; raises NotFound, Corrupt or TooNew."""
    return Manifest.read(store.get_bytes(name), f"The manifest {store.url}/{name}")


def find_artifact(store: Store, key: str) -> Manifest | None:
    """Return the manifest of `key` if all files are in the store in their sizes; None if the artifact must be made."""
    try:
        manifest = read_manifest(store, key)
    except NotFound:
        return None
    return manifest if is_whole(store, manifest) else None


def is_whole(store: Store, manifest: Manifest) -> bool:
    """Whether every file of a manifest is in the store, with its size.

    Some stores list an object only a while after it was written, so what the listing lacks is asked for by name.
    """
    present = {found.name: found.size for found in store.list(manifest.prefix)}
    return all(_size(store, present, manifest.prefix + entry.path) == entry.size for entry in manifest.files)


def _size(store: Store, present: Mapping[str, int], name: str) -> int | None:
    if name in present:
        return present[name]
    found = store.stat(name)
    return found.size if found else None


def send_files(
    store: Store, prefix: str, folder: Path, cache: WorkerCache, progress: Callable[[str], object]
) -> tuple[FileEntry, ...]:
    """Send every file of a folder below `prefix` and return their entries, paths relative to the folder.

    Each file is read once, hashed while it is sent, and kept in the worker cache. While the store is unavailable, the
    file is sent again from its start, for some minutes; `progress` gets a message for each pause.

    Raises TerminalError for an empty folder, because doing nothing is never success, and for anything but plain files.
    """
    entries = []
    for path in _plain_files(folder):
        relative = path.relative_to(folder).as_posix()
        sent = _send(store, prefix, relative, path, progress)
        entry = sent.model_copy(update={"path": relative})
        cache.adopt(path, entry)
        entries.append(entry)
    if not entries:
        raise TerminalError(
            "The task left no file in its output folder, so there is no artifact to keep; "
            "let the task write its files there."
        )
    return tuple(entries)


def complete_attempt(store: Store, manifest: Manifest) -> None:
    """Write the attempt's own manifest: the attempt is now complete and is never removed."""
    store.put_bytes(manifest.own_name, manifest.to_json().encode())


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Write the key's manifest: the artifact now exists."""
    store.put_bytes(manifest_name(manifest.key), manifest.to_json().encode())


def remove_attempt(store: Store, key: str, attempt: str) -> None:
    """Delete all objects of an attempt, and abort its unfinished uploads."""
    # Without a slash, so that the attempt's own manifest goes, too: in name order it is the first.
    prefix = f"artifacts/{key}/{attempt}"
    _discard_unfinished(store, prefix)
    for found in list(store.list(prefix)):
        store.delete(found.name)


def _send(store: Store, prefix: str, relative: str, path: Path, progress: Callable[[str], object]) -> FileEntry:
    def send() -> FileEntry:
        return store.put_file(prefix + relative, path)

    def send_again() -> FileEntry:
        # Parts already sent take up room, and recovery no longer aborts them once the attempt is complete.
        _discard_unfinished(store, prefix)
        return send()

    return retry_store(send, progress, send_again)


def _discard_unfinished(store: Store, prefix: str) -> None:
    for upload in list(store.unfinished(prefix)):
        store.discard(upload)


def _plain_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise TerminalError(
                f"The task's output holds {path.relative_to(folder)}, which is not a plain file; "
                "let the task write plain files only."
            )
        if path.is_file():
            yield path
