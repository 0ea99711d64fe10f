"""A release through the DAG, in a local folder and in S3."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import PROVISIONAL
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.release.record import read_release
from tasks.settings import REPOSITORY
from tasks.store.base import Store
from tasks.store.local import LocalStore
from tests.fixtures.by_hand import BESIDE_OTHERS
from tests.integration.dag.conftest import DagRunner, Ended

pytestmark = [pytest.mark.stack, pytest.mark.servers]

MODEL = "acme/tales"
DEMO = REPOSITORY / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"
WEIGHTS = "model.safetensors"
TARGETS = ["safetensors-bf16", "gguf-q8_0"]
KEYED = {"fetch", "scan", "analyze", "evaluation_text", "reference"}


@pytest.fixture
def model(hub_mirror: Any) -> str:
    """The demo model in a repository of the test's own."""
    hub_mirror.add(MODEL, {path.name: path for path in DEMO.iterdir() if path.is_file()})
    return MODEL


def outcomes(ended: Ended) -> Mapping[str, str]:
    told: Mapping[str, str] = ended.facts("register")["outcomes"]
    return told


def test_into_a_folder_with_a_tool_that_breaks_and_is_fixed(
    dag_runner: DagRunner, model: str, mlflow_beside_folder: Any, tmp_path: Path
) -> None:
    server, root = mlflow_beside_folder
    dag_runner.environment |= {"HALLMARK_STORE": f"file://{root}", "AIRFLOW_CONN_HALLMARK_MLFLOW": connection(server)}
    chosen = {"model": model, "targets": TARGETS}
    (broken,) = dag_runner.release(chosen, HALLMARK_TOOLS=str(without_quantize(tmp_path)))
    assert broken.state == "failed"
    assert outcomes(broken) == {"safetensors-bf16": "passed", "gguf-q8_0": "failed", "onnx-fp32": "skipped"}
    assert broken.tasks["gguf-q8_0.convert"] == "failed" and broken.tasks["gguf-q8_0.gate"] == "upstream_failed"
    said = "planted fault: llama-quantize, at work on tales-F16.gguf, failed with exit status 3; leave gguf-q8_0 out"
    assert broken.failure["gguf-q8_0.convert"].startswith(said)
    assert broken.failure["conclude"].startswith(f"gguf-q8_0 is required, but failed: convert: {said}")
    assert len(broken.facts("promote")["promoted"]) == 1

    (fixed,) = dag_runner.release(chosen)
    assert fixed.state == "success", fixed.failure
    assert outcomes(fixed) == {"safetensors-bf16": "passed", "gguf-q8_0": "passed", "onnx-fp32": "skipped"}
    assert fixed.facts("register")["new_versions"] == ["acme--tales--gguf-q8_0/1"]
    made = {task for task, result in fixed.return_value.items() if task.endswith(".convert") and not result["reused"]}
    assert made == {"gguf-q8_0.convert"}
    check_champions(LocalStore(root), server.url, fixed, 2)


def test_into_a_bucket_from_two_workers(
    dag_runner: DagRunner, model: str, s3_server: Any, mlflow_server: Any, hub_mirror: Any, tmp_path: Path
) -> None:
    from tasks.store.s3 import S3Store

    access = {"endpoint_url": s3_server.url, "region_name": "us-east-1"}
    store = {"conn_type": "aws", "login": s3_server.access_key, "password": s3_server.secret_key, "extra": access}
    dag_runner.environment |= {
        "HALLMARK_STORE": f"s3://{s3_server.bucket}/dag",
        "AIRFLOW_CONN_HALLMARK_STORE": json.dumps(store),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": connection(mlflow_server),
    }
    sent = hub_mirror.bytes_sent(MODEL, WEIGHTS)
    (first,) = dag_runner.release({"model": model, "targets": ["safetensors-bf16"]})
    assert first.state == "success", first.failure
    assert outcomes(first) == {"safetensors-bf16": "passed", "gguf-q8_0": "skipped", "onnx-fp32": "skipped"}
    assert hub_mirror.bytes_sent(MODEL, WEIGHTS) - sent == (DEMO / WEIGHTS).stat().st_size
    snapshot = f"dag/artifacts/{first.return_value['fetch']['artifact']}/"
    assert weights_read(s3_server, snapshot) == 0, "the worker that fetched it has it"

    # Another worker has nothing yet: what it needs, it reads from the store once, and from the Hub never again.
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.toml").write_text(BESIDE_OTHERS)
    chosen = {"model": model, "targets": TARGETS}
    second, third = dag_runner.release(chosen, chosen, HALLMARK_HOME=str(other))
    assert second.state == "success", second.failure
    assert second.facts("register")["new_versions"] == ["acme--tales--gguf-q8_0/1"]
    assert hub_mirror.bytes_sent(MODEL, WEIGHTS) - sent == (DEMO / WEIGHTS).stat().st_size
    assert weights_read(s3_server, snapshot) == 1

    assert third.state == "success", third.failure
    assert third.facts("register")["new_versions"] == []
    assert third.facts("register")["unchanged_since"] == second.run_id
    steps = ("convert", "compare_weights", "evaluate", "benchmark", "gate")
    keyed = KEYED | {f"{target}.{step}" for target in TARGETS for step in steps}
    # Timings that other work on the host disturbed are measured again, and judged again.
    disturbed = {name.rpartition(".")[0] for name, told in second.return_value.items() if PROVISIONAL in told["facts"]}
    again = {f"{target}.{step}" for target in disturbed for step in ("benchmark", "gate")}
    reused = {task for task, told in third.return_value.items() if told["reused"]}
    assert reused >= keyed - again and not {f"{target}.benchmark" for target in disturbed} & reused
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment().items():
            patch.setenv(name, value)
        check_champions(S3Store(s3_server.bucket, "dag"), mlflow_server.url, second, 2)


def weights_read(s3_server: Any, snapshot: str) -> int:
    """How often the snapshot's weights were read from the bucket."""
    rows = s3_server.requests("GET", snapshot)
    return sum(row["path"].endswith(WEIGHTS) and row["status"] == 200 for row in rows)


def connection(server: Any) -> str:
    return json.dumps({"conn_type": "http", "host": server.url})


def without_quantize(folder: Path) -> Path:
    """A folder of native tools with a llama.cpp whose quantizer does not work, as a half-installed one's."""
    built = llama_cpp()
    broken = folder / "llama.cpp"
    shutil.copytree(built.bin.parent, broken, symlinks=True, ignore=lambda where, names: set(names) & {"tree", "lib"})
    for name in ("tree", "lib"):
        (broken / name).symlink_to(built.bin.parent / name)
    program = broken / "bin" / "llama-quantize"
    program.unlink()
    program.write_text("#!/bin/sh\necho 'planted fault' >&2\nexit 3\n")
    program.chmod(0o755)
    return folder


def check_champions(store: Store, registry: str, ended: Ended, passed: int) -> None:
    """So many targets passed, each is its name's champion, and the files behind the alias are the artifact's."""
    import mlflow
    from mlflow import MlflowClient

    release = read_release(store, ended.facts("register")["release"])
    assert len(release.passed) == passed
    mlflow.set_tracking_uri(registry)
    client = MlflowClient(registry)
    for target in release.passed:
        assert target.registered_name
        version = client.get_model_version_by_alias(target.registered_name, "champion")
        assert (version.version, version.tags["hallmark.files_digest"]) == (target.version, target.files_digest)
        assert target.metrics["kld_mean"].value < 0.01
