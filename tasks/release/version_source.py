"""The `source` of a model version: it points at the artifact in the store, and no weights are copied.

- In S3 the source is the artifact's own prefix.
- MLflow refuses `file://` sources outside the artifacts of the version's run. For a store in a local folder, the
  artifact's files are therefore hard-linked below the run's artifacts, which costs no bytes, and the source is there.
  Clients then download them through the server. If they read the store's folder directly, loading a model would leave
  files of its own among the artifact's files.

The second case needs one setting: the MLflow server's artifact destination must be the folder `mlflow` of the store.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import InvalidRecipe, StoreUnavailable
from tasks.manifest import Manifest
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


def _link(source: Path, destination: Path, manifest: Manifest) -> None:
    for entry in manifest.files:
        link = destination / entry.path
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(source / entry.path, link)
        except OSError as error:
            raise StoreUnavailable(f"{source / entry.path} could not be linked to {link}: {error}.") from error
