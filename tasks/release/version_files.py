"""Whether a version that is registered still has its files: people and lifecycle rules remove what a registry names."""

from tasks.errors import Corrupt, NotFound
from tasks.manifest import Manifest
from tasks.release.registry import RegisteredVersion, Usable
from tasks.release.verify import verify_artifact
from tasks.store.artifacts import is_whole, load_manifest
from tasks.store.base import Store


def usable(artifact: Manifest, store: Store) -> Usable:
    """Return what tells whether a version with the files of `artifact` can be loaded.

    The files of the artifact itself have only to be there: they were read when the version was made. Where the artifact
    was made again since, by force or for want of files, those of the version are read, too. A version whose manifest
    lies in another store is believed.
    """

    def check(version: RegisteredVersion) -> bool:
        root = store.uri("artifacts/")
        if not version.manifest.startswith(root):
            return True
        name = f"artifacts/{version.manifest.removeprefix(root)}"
        try:
            manifest = load_manifest(store, name)
            if name == artifact.own_name:
                return is_whole(store, manifest)
            verify_artifact(store, manifest)
        except (NotFound, Corrupt):
            return False
        return True

    return check
