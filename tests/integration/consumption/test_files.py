"""The files of a release are fetched and checked without us, and lie in one place only."""

import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

from tests.fixtures.released import ReleasedStack
from tests.integration.consumption.consumer import Consumer, artifact_of, lines_of
from tests.integration.consumption.prompts import TARGETS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

DOWNLOAD = "Download the files of this version, and the manifest with their digests"
CHECK = "Check the files with Python's standard library"


def checked(released: ReleasedStack, target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the report's check in `folder` by a Python that finds nothing but its standard library."""
    command = [sys.executable, "-I", "-S", "-c", lines_of(released, target)[CHECK]]
    return subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True)


def whole(released: ReleasedStack, target: str) -> str:
    return f"{len(artifact_of(released, target).files)} files are what was released\n"


@pytest.mark.parametrize("target", TARGETS)
def test_a_download_by_presigned_addresses_is_checked(
    target: str, released_stack: ReleasedStack, plain_files: Callable[[str], Path]
) -> None:
    done = checked(released_stack, target, plain_files(target).parent)
    assert done.stdout == whole(released_stack, target), done.stderr


def test_the_check_is_ten_lines(released_stack: ReleasedStack) -> None:
    assert len(lines_of(released_stack, TARGETS[0])[CHECK].splitlines()) <= 10


# Sound files of every target are downloaded and checked by test_lines.py.
@pytest.mark.parametrize("consumer", ["gguf-q4_k_m"], indirect=True)
def test_a_download_by_mlflow_is_checked_and_a_byte_that_changed_in_the_store_is_found(
    consumer: Consumer, released_stack: ReleasedStack
) -> None:
    artifact = artifact_of(released_stack, consumer.target)
    weights = max(artifact.files, key=lambda entry: entry.size)
    name, store = artifact.prefix + weights.path, released_stack.store
    before = store.get_bytes(name)
    flipped = bytearray(before)
    flipped[len(before) // 2] ^= 1
    download = lines_of(released_stack, consumer.target)[DOWNLOAD]
    try:
        store.put_bytes(name, bytes(flipped))
        consumer.run("bash", "-euc", download)
        done = checked(released_stack, consumer.target, consumer.folder)
    finally:
        store.put_bytes(name, before)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{weights.path} is not what was released\n")
    consumer.run("bash", "-euc", download)
    done = checked(released_stack, consumer.target, consumer.folder)
    assert done.stdout == whole(released_stack, consumer.target), done.stderr
    assert (consumer.folder / consumer.target / "MLmodel").is_file()


def test_weights_lie_in_one_place_only(released_stack: ReleasedStack, bucket: "tuple[S3Client, str]") -> None:
    s3, name = bucket
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name)
    objects = {item["Key"]: (item["Size"], item["ETag"]) for page in pages for item in page.get("Contents", [])}
    root = f"{released_stack.store.url.removeprefix(f's3://{name}')}/".removeprefix("/")
    client = mlflow.MlflowClient(tracking_uri=released_stack.environment["MLFLOW_TRACKING_URI"])
    for target in released_stack.release.passed:
        artifact = artifact_of(released_stack, target.target)
        weights = max(artifact.files, key=lambda entry: entry.size)
        size, mark = objects[f"{root}{artifact.prefix}{weights.path}"]
        assert size == weights.size
        assert [key for key, found in objects.items() if found == (size, mark)] == [
            f"{root}{artifact.prefix}{weights.path}"
        ]
        assert target.registered_name and target.version
        version = client.get_model_version(target.registered_name, target.version)
        assert version.source == released_stack.store.uri(artifact.prefix.rstrip("/"))
        assert artifact.prefix == f"artifacts/{artifact.key}/{artifact.attempt}/"
        elsewhere = {key: found[0] for key, found in objects.items() if not key.startswith(f"{root}artifacts/")}
        assert elsewhere and max(elsewhere.values()) < size, elsewhere
    # What the MLflow server itself keeps: its database and what it logs.
    kept = [path for path in (released_stack.stack.home / "stack" / "mlflow").rglob("*") if path.is_file()]
    assert {path.name.partition(".db")[1] for path in kept} == {".db"}, kept


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_is_a_pickle(target: str, plain_files: Callable[[str], Path]) -> None:
    files = [path for path in plain_files(target).rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert not is_pickle(path.read_bytes()), path
        assert not zipfile.is_zipfile(path), path
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert is_pickle(pickle.dumps({"weights": [1.5]}, protocol))


def is_pickle(data: bytes) -> bool:
    """Whether `data` begins with a whole pickle, of any protocol."""
    try:
        return len(list(pickletools.genops(data))) > 1
    except (ValueError, UnicodeDecodeError):
        return False
