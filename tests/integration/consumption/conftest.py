"""Consumers of the released demo model, and what the runners that measured it say of the same prompts."""

import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.evaluation.reference_files import Generations, ReferenceInfo
from tasks.formats.registry import load_format
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tasks.store.artifacts import read_manifest
from tasks.store.s3 import S3Store
from tests.fixtures.released import ReleasedStack
from tests.integration.consumption.consumer import (
    PASSIVE,
    Consumer,
    artifact_of,
    lines_of,
    make_environment,
    outside,
    run,
)
from tests.integration.consumption.prompts import MESSAGES, PROMPTS, TARGETS, Said

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HERE = Path(__file__).parent
RunnerSays = Callable[[str], Said]


@dataclass(frozen=True)
class Environments:
    """The environments of a session, by the digest of the requirements that are installed in them."""

    made: dict[str, Path]
    folder: Path


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments({}, tmp_path_factory.mktemp("environments"))


@pytest.fixture(scope="module", params=TARGETS)
def consumer(
    request: pytest.FixtureRequest,
    released_stack: ReleasedStack,
    environments: Environments,
    tmp_path_factory: pytest.TempPathFactory,
) -> Consumer:
    """A fresh environment made by the report's own lines, or one made so before from the same requirements."""
    artifact = artifact_of(released_stack, request.param)
    digest = next(entry.sha256 for entry in artifact.files if entry.path == "requirements.txt")
    home = tmp_path_factory.mktemp(request.param)
    if digest not in environments.made:
        python, packages = make_environment(environments.folder / digest[:12])
        lines = lines_of(released_stack, request.param)["Install what it needs, in a fresh environment"]
        told = outside(released_stack.environment, python, home)
        done = run(["bash", "-euc", lines], home, {**packages, **told})
        assert done.returncode == 0, done.stdout + done.stderr
        environments.made[digest] = python
    python = environments.made[digest]
    variables = outside(released_stack.environment, python, home)
    return Consumer(request.param, released_stack.champion(request.param), python, home, variables)


@pytest.fixture(scope="session")
def runner_says(released_stack: ReleasedStack, tmp_path_factory: pytest.TempPathFactory) -> RunnerSays:
    """What the runner that measured a target says of its files in the store; prompts open and end as in evaluation."""

    @cache
    def measured(target: str) -> Said:
        record, artifact = released_stack.target(target), artifact_of(released_stack, target)
        store, folder = released_stack.store, tmp_path_factory.mktemp("artifact")
        evaluation = record.proofs[0].evaluation
        assert evaluation
        reference = read_manifest(store, read_manifest(store, evaluation).inputs["reference"])
        info = ReferenceInfo.from_json(store.get_bytes(f"{reference.prefix}reference.json"))
        generations = Generations.from_json(store.get_bytes(f"{reference.prefix}generations.json"))
        for entry in artifact.files:
            (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
            store.get_file(artifact.prefix + entry.path, folder / entry.path)
        request = {
            "prompts": PROMPTS,
            "messages": MESSAGES,
            "first_ids": info.first_token_ids,
            "stop_ids": generations.stop_ids,
        }
        engine = load_format(record.format).engines[0]
        python = runtime(engine.runtime).python
        command: list[str | Path] = [python, HERE / "measure.py", record.target, folder, json.dumps(request)]
        done = run(command, REPOSITORY, {**os.environ, **PASSIVE, "PYTHONPATH": str(REPOSITORY)})
        assert done.returncode == 0, done.stderr
        return Said(**json.loads(done.stdout.splitlines()[-1]))

    return measured


@pytest.fixture(scope="session")
def bucket(released_stack: ReleasedStack) -> "tuple[S3Client, str]":
    """A plain S3 client with the stack's credentials, and the bucket's name."""
    import boto3
    from botocore.config import Config

    told = released_stack.environment
    client = boto3.client(
        "s3",
        endpoint_url=told["MLFLOW_S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4"),
    )
    assert isinstance(released_stack.store, S3Store)
    return client, released_stack.store.url.removeprefix("s3://").split("/")[0]


@pytest.fixture(scope="session")
def plain_files(
    released_stack: ReleasedStack, bucket: "tuple[S3Client, str]", tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A target's files as they lie in the store, and beside their folder the manifest, each by a presigned address."""
    client, name = bucket
    root = f"{released_stack.store.url.removeprefix(f's3://{name}')}/".removeprefix("/")

    @cache
    def fetched(target: str) -> Path:
        artifact, folder = artifact_of(released_stack, target), tmp_path_factory.mktemp("plain") / target
        files = {folder / entry.path: artifact.prefix + entry.path for entry in artifact.files}
        files[folder.parent / Path(artifact.own_name).name] = artifact.own_name
        for path, key in files.items():
            address = client.generate_presigned_url("get_object", Params={"Bucket": name, "Key": root + key})
            path.parent.mkdir(parents=True, exist_ok=True)
            urllib.request.urlretrieve(address, path)
        return folder

    return fetched
