"""One setting chooses the store, and a wrong one is told."""

import os
from pathlib import Path

import pytest

from tasks.errors import AccessDenied, InvalidRecipe
from tasks.store.local import LocalStore
from tasks.store.open import open_store
from tasks.store.s3 import S3Store


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


def test_an_address_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidRecipe, match=r"^HALLMARK_STORE is 's3://\[x', which is not an address: Inv"):
        open_store("s3://[x")


def without_settings(monkeypatch: pytest.MonkeyPatch, but: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in but.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL_S3": "minio:9000"}, "Invalid endpoint: minio:9000"),
        ({"AWS_ACCESS_KEY_ID": "x"}, "missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_REQUEST_CHECKSUM_CALCULATION": "never"}, "when_required"),
    ],
)
def test_settings_that_make_no_client_are_reported(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch, variables)
    with pytest.raises(InvalidRecipe, match=rf"^The store s3://b cannot .*{said}.*; correct .*'hallmark_store'"):
        open_store("s3://b")


@pytest.mark.parametrize(
    ("configuration", "address"),
    [
        ("", "https://s3.example/bucket/p/name"),
        ("[default]\ns3 =\n    addressing_style = virtual\n", "https://bucket.s3.example/p/name"),
    ],
)
def test_the_users_configuration_chooses_how_a_bucket_is_addressed(
    configuration: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(configuration)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "here"}
    without_settings(monkeypatch, {**keys, "AWS_ENDPOINT_URL_S3": "https://s3.example"})
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store("s3://bucket/p")
    assert isinstance(store, S3Store)
    signed = store._client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "p/name"})
    assert signed.partition("?")[0] == address


def test_a_store_without_credentials_is_not_one_that_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = {"AWS_CONFIG_FILE": str(tmp_path / "a"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "b")}
    without_settings(monkeypatch, {**nowhere, "AWS_EC2_METADATA_DISABLED": "true"})
    with pytest.raises(AccessDenied, match=r"^The store s3://b/p .* no credentials.*'hallmark_store'"):
        open_store("s3://b/p").get_bytes("name")
