"""Check whether a registered version still has its files.

People and lifecycle rules delete files from a store without asking the registry. A version that lost its files must not
count as "registered already": its artifact is made again and becomes a new version.
"""

from tasks.errors import Corrupt, NotFound
from tasks.manifest import Manifest
from tasks.release.registry import HasFiles, RegisteredVersion
from tasks.release.verify import verify_artifact
from tasks.store.artifacts import is_whole, load_manifest
from tasks.store.base import Store


def file_check(artifact: Manifest, store: Store) -> HasFiles:
    """Return the check whether a version whose files are those of `artifact` can still be loaded.

    Where the version points at the artifact itself, its files only have to be there: they were read when the version
    was made. Where the artifact has been made again since, the version's own files are read and compared. A version
    whose manifest lies in another store is taken to have its files.

    The check raises TooNew where a newer version of this code wrote the version's manifest: the files are not lost.
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
