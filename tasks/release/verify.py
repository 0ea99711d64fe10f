"""Verifies an artifact before it is registered: every file is in the store and has the digest of its manifest."""

import os
from pathlib import Path

from tasks.errors import Corrupt
from tasks.manifest import Manifest
from tasks.store.base import Store


def verify_artifact(store: Store, manifest: Manifest) -> None:
    """Raise Corrupt, naming the file, unless the store holds every file of the manifest with its size and digest.

    Every file is read once and written nowhere. So a registry alias never points to files that were not checked.

    No other file may be among them, because MLflow downloads the whole folder and imports what is in `code`. An
    artifact without `MLmodel` is refused, because MLflow could not load it.
    """
    if not any(entry.path == "MLmodel" for entry in manifest.files):
        raise Corrupt(
            f"The artifact {manifest.key} has no MLmodel file, so MLflow cannot load it; "
            "run the release again with 'force' to make it again."
        )
    known = {manifest.prefix + entry.path for entry in manifest.files}
    if added := [found.name for found in store.list(manifest.prefix) if found.name not in known]:
        raise Corrupt(f"{store.url}/{added[0]} is not in the artifact's manifest; remove it from the store.")
    for entry in manifest.files:
        name = manifest.prefix + entry.path
        found = store.stat(name)
        if found is None or found.size != entry.size:
            seen = "is missing" if found is None else f"has {found.size} bytes and not {entry.size}"
            raise Corrupt(f"{store.url}/{name} {seen}; run the release again with 'force' to make it again.")
    for entry in manifest.files:
        name = manifest.prefix + entry.path
        if store.get_file(name, Path(os.devnull)).sha256 != entry.sha256:
            raise Corrupt(
                f"{store.url}/{name} does not have the digest of its manifest; "
                "run the release again with 'force' to make it again."
            )
