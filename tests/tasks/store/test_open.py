"""One setting chooses the store, and a wrong one is told."""

from pathlib import Path

import pytest

from tasks.errors import InvalidRecipe
from tasks.store.local import LocalStore
from tasks.store.open import open_store


def test_a_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_STORE", f"file://{tmp_path}/a")
    assert open_store().url == f"file://{tmp_path}/a"
    assert open_store(f"file://{tmp_path}/b").url == f"file://{tmp_path}/b", "what is named goes before the setting"


def test_without_a_setting_it_lies_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    monkeypatch.setenv("HALLMARK_STORE", "")
    store = open_store()
    assert isinstance(store, LocalStore) and store.root == tmp_path / "store"


@pytest.mark.parametrize(
    ("address", "url"), [("s3://bucket", "s3://bucket"), ("s3://bucket/", "s3://bucket"), ("s3://b/a/b/", "s3://b/a/b")]
)
def test_a_bucket_is_opened_without_asking_it(address: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "here")
    store = open_store(address)
    assert store.url == url and store.uri("a/b") == f"{url}/a/b"


@pytest.mark.parametrize(
    "address", ["/a/folder", "s3:bucket", "s3://", "file://host/folder", "file:relative", "gs://b"]
)
def test_anything_else_is_refused(address: str) -> None:
    with pytest.raises(InvalidRecipe, match=r"HALLMARK_STORE is .*; it must be s3://bucket/prefix or file:///folder"):
        open_store(address)
