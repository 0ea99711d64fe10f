"""The `source` of a model version: it points at the artifact in the store, and no weights are copied.

- In S3 the source is the artifact's own prefix.
- MLflow refuses `file://` sources outside the artifacts of the version's run. For a store in a local folder, the
  artifact's files are therefore hard-linked below the run's artifacts, which costs no bytes, and the source is there.
  Clients then download them through the server. If they read the store's folder directly, loading a model would leave
  files of its own among the artifact's files.

The second case needs one setting: the MLflow server's artifact destination must be the folder `mlflow` of the store.
"""

import os
from hashlib import file_digest
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import HallmarkError, InvalidRecipe, StoreUnavailable
from tasks.host.refusals import NO_LINKS, refusal
from tasks.host.shortage import FIX_STORE, disk_full, is_disk_full
from tasks.manifest import FileEntry, Manifest
from tasks.release.registry import Registry
from tasks.store.base import Store

MLFLOW_FOLDER = "mlflow"
PROXIED = "mlflow-artifacts:/"


def version_source(store: Store, manifest: Manifest, registry: Registry, run_id: str, target: str) -> str:
    """Return the `source` of a version of this artifact.

    Raises InvalidRecipe, naming the setting, where the server does not see the store's folder.
    """
    parts = urlsplit(store.url)
    if parts.scheme != "file":
        return store.uri(manifest.prefix.rstrip("/"))
    artifacts = registry.artifact_uri(run_id)
    destination = f"file://{parts.path}/{MLFLOW_FOLDER}"
    fix = f"start the MLflow server with --artifacts-destination {destination}"
    if not artifacts.startswith(PROXIED):
        raise InvalidRecipe(f"MLflow keeps artifacts at {artifacts}, outside the store's folder; {fix}.")
    below = f"models/{target}"
    _link(
        Path(parts.path) / manifest.prefix,
        Path(parts.path) / MLFLOW_FOLDER / artifacts.removeprefix(PROXIED).strip("/") / below,
        manifest,
    )
    if f"{below}/MLmodel" not in registry.artifact_names(run_id, below):
        raise InvalidRecipe(f"The MLflow server does not see {destination}; {fix}.")
    return f"{artifacts}/{below}"


def points_at(source: str, manifest: Manifest, store: Store) -> bool:
    """Return whether the `source` of a version is this artifact: its prefix, or the folder of links to its files."""
    parts = urlsplit(store.url)
    if parts.scheme != "file":
        return source.rstrip("/") == store.uri(manifest.prefix.rstrip("/"))
    path = source.removeprefix(PROXIED).strip("/")
    if not source.startswith(PROXIED) or ".." in path.split("/"):
        return False
    folder, original = Path(parts.path) / MLFLOW_FOLDER / path, Path(parts.path) / manifest.prefix
    linked = {found.relative_to(folder).as_posix() for found in folder.rglob("*") if not found.is_dir()}
    return linked == {entry.path for entry in manifest.files} and all(
        _same_file(folder / entry.path, original / entry.path, entry) for entry in manifest.files
    )


def _same_file(link: Path, original: Path, entry: FileEntry) -> bool:
    """Whether a file is the artifact's. A store that was copied has no hard links, so its files are read."""
    if link.is_symlink() or not link.is_file():
        return False
    if original.is_file() and link.samefile(original):
        return True
    with link.open("rb") as file:
        return link.stat().st_size == entry.size and file_digest(file, "sha256").hexdigest() == entry.sha256


def _link(source: Path, destination: Path, manifest: Manifest) -> None:
    for entry in manifest.files:
        link = destination / entry.path
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(source / entry.path, link)
        except OSError as error:
            raise _failure(error, source / entry.path, link) from error


def _failure(error: OSError, file: Path, link: Path) -> HallmarkError:
    begins = f"{file} could not be linked to {link}"
    if is_disk_full(error):
        return disk_full(link.parent, link.name, fix=FIX_STORE, error=error)
    if error.errno in NO_LINKS:
        return InvalidRecipe(
            f"{begins} ({error}); move the store's folder to one file system that has hard links, run all workers as "
            "one user, or use a store in S3."
        )
    return refusal(error, begins) or StoreUnavailable(f"{begins}: {error}; check the store's disk.")
