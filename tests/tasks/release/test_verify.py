"""Before a version points at an artifact, the store holds it exactly as its manifest says, and nothing beside it."""

from pathlib import Path

import pytest

from tasks.errors import Corrupt
from tasks.manifest import Manifest
from tasks.release.verify import verify_artifact
from tasks.store.local import LocalStore
from tests.fixtures.context import manifest_of

FILES = {"MLmodel": b"flavors: {}\n", "model.gguf": b"GGUF" + bytes(60), "code/serving.py": b"pass\n"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def artifact(store: LocalStore, tmp_path: Path) -> Manifest:
    for name, data in FILES.items():
        path = tmp_path / "artifact" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    manifest = manifest_of(tmp_path / "artifact")
    for name, data in FILES.items():
        store.put_bytes(manifest.prefix + name, data)
    return manifest


def test_what_is_whole_is_taken(store: LocalStore, artifact: Manifest) -> None:
    verify_artifact(store, artifact)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.gguf", b"GGUF" + bytes(59) + b"\1", "does not have the digest of its manifest"),
        ("model.gguf", b"GGUF", "has 4 bytes and not 64"),
        ("code/serving.py", b"evil\n", "does not have the digest of its manifest"),
        ("code/evil.py", b"evil\n", "is not in the artifact's manifest"),
        ("MLmodel.bak", b"", "is not in the artifact's manifest"),
    ],
)
def test_what_was_changed_or_added_is_refused_by_name(
    store: LocalStore, artifact: Manifest, name: str, data: bytes, said: str
) -> None:
    store.put_bytes(artifact.prefix + name, data)
    with pytest.raises(Corrupt, match=rf"{artifact.prefix}{name} {said}.*\.$"):
        verify_artifact(store, artifact)


def test_what_was_removed_is_refused_by_name(store: LocalStore, artifact: Manifest) -> None:
    store.delete(artifact.prefix + "model.gguf")
    with pytest.raises(Corrupt, match=r"model\.gguf is missing"):
        verify_artifact(store, artifact)


def test_what_mlflow_could_not_load_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.gguf").write_bytes(FILES["model.gguf"])
    bare = manifest_of(tmp_path / "bare")
    store.put_bytes(f"{bare.prefix}model.gguf", FILES["model.gguf"])
    with pytest.raises(
        Corrupt, match="has no MLmodel file, so MLflow cannot load it; run the release again with 'force'"
    ):
        verify_artifact(store, bare)
