"""Check whether a registered version is an artifact of this store, and still has its files.

MLflow believes whatever a client writes: a version may carry our tags and point anywhere. And people and lifecycle
rules delete files from a store without asking the registry. A version counts only if its `source` is the artifact that
its tags name, in this store, and the artifact's files are there. For a version that does not count, the artifact is
registered as a new version.
"""

from tasks.errors import Corrupt, NotFound
from tasks.manifest import Manifest
from tasks.release.registry import IsOurs, RegisteredVersion
from tasks.release.verify import verify_artifact
from tasks.release.version_source import points_at
from tasks.store.artifacts import load_manifest
from tasks.store.base import Store


def file_check(artifact: Manifest, store: Store) -> IsOurs:
    """Return the check whether a version is ours, has the files of `artifact`, and can still be loaded.

    Where the version points at the artifact itself, its files only have to be there: they were read when the version
    was made. Where the artifact has been made again since, the version's own files are read and compared.

    The check raises TooNew where a newer version of this code wrote the version's manifest: the files are not lost.
    """

    def check(version: RegisteredVersion) -> bool:
        manifest = _manifest(version, artifact.files_digest, store)
        if manifest is None:
            return False
        if manifest.own_name == artifact.own_name:
            return _is_exact(store, manifest)
        try:
            verify_artifact(store, manifest)
        except Corrupt:
            return False
        return True

    return check


def is_ours(version: RegisteredVersion, files_digest: str, store: Store) -> bool:
    """Return whether a version is an artifact of this store with these files, all of which are there.

    The files are not read: `register` read them when it made or found the version. Raises TooNew as `file_check` does.
    """
    manifest = _manifest(version, files_digest, store)
    return manifest is not None and _is_exact(store, manifest)


def _is_exact(store: Store, manifest: Manifest) -> bool:
    """Whether the store has every file of the manifest in its size, and none besides: MLflow imports what it finds."""
    present = {found.name: found.size for found in store.list(manifest.prefix)}
    return present == {manifest.prefix + entry.path: entry.size for entry in manifest.files}


def _manifest(version: RegisteredVersion, files_digest: str, store: Store) -> Manifest | None:
    """Return the manifest of the artifact that a version is, or None where the version is not one of these files."""
    root = store.uri("artifacts/")
    if not version.manifest.startswith(root):
        return None
    name = f"artifacts/{version.manifest.removeprefix(root)}"
    try:
        manifest = load_manifest(store, name)
    except (NotFound, Corrupt):
        return None
    ours = (manifest.own_name, manifest.files_digest) == (name, files_digest)
    return manifest if ours and points_at(version.source, manifest, store) else None
