"""A folder as a snapshot in a store: what `fetch` would have kept, had the Hub had it."""

from datetime import UTC, datetime
from pathlib import Path

from tasks.manifest import FileEntry, Manifest
from tasks.model import digest_of
from tasks.store.artifacts import write_manifest
from tasks.store.local import LocalStore


def keep(store: LocalStore, folder: Path) -> Manifest:
    """Put every file, links among them, into the store under one manifest and return that."""
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink()]
    key = digest_of([str(folder)])
    entries = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        sent = store.put_file(f"artifacts/{key}/fetched/{name}", path)
        entries.append(FileEntry(path=name, size=sent.size, sha256=sent.sha256))
    manifest = Manifest(key=key, attempt="fetched", kind="fetch", created=datetime.now(UTC), files=tuple(entries))
    write_manifest(store, manifest)
    return manifest
