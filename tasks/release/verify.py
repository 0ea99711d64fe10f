"""Before an artifact gets its mark: every file is in the store, with the bytes its manifest names."""

import os
from pathlib import Path

from tasks.errors import Corrupt
from tasks.manifest import Manifest
from tasks.store.base import Store


def verify_artifact(store: Store, manifest: Manifest) -> None:
    """Raise Corrupt, naming the file, unless the store holds every file of the manifest, in its size and digest.

    Nothing else may lie among its files either: MLflow fetches the whole folder, and imports what it finds in `code`.
    Everything is read once, and written nowhere: a registry alias must never point at bytes that nobody looked at. An
    artifact without `MLmodel` is refused, too, for nobody could load it from the registry.
    """
    if not any(entry.path == "MLmodel" for entry in manifest.files):
        raise Corrupt(f"The artifact {manifest.key} has no MLmodel file, so MLflow could not load it.")
    known = {manifest.prefix + entry.path for entry in manifest.files}
    if added := [found.name for found in store.list(manifest.prefix) if found.name not in known]:
        raise Corrupt(f"{store.url}/{added[0]} is no file of its manifest; remove it from the store.")
    for entry in manifest.files:
        name = manifest.prefix + entry.path
        found = store.stat(name)
        if found is None or found.size != entry.size:
            seen = "is not there" if found is None else f"has {found.size} bytes and not {entry.size}"
            raise Corrupt(f"{store.url}/{name} {seen}; run the release again with 'force' to make it anew.")
    for entry in manifest.files:
        name = manifest.prefix + entry.path
        if store.get_file(name, Path(os.devnull)).sha256 != entry.sha256:
            raise Corrupt(
                f"{store.url}/{name} has not the digest of its manifest; "
                "run the release again with 'force' to make it anew."
            )
