"""One release with every verdict: in two pools, in a pool that is not there, and through a base that was blocked."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.release.record import ReleasedTarget, read_release
from tasks.settings import REPOSITORY
from tasks.store.local import LocalStore
from tests.fixtures.by_hand import BESIDE_OTHERS
from tests.integration.dag.conftest import HERE, DagRunner, Ended
from tests.integration.dag.test_release import DEMO, MODEL

pytestmark = [pytest.mark.stack, pytest.mark.servers]

POOLS = '[pools.cpu]\nslots = 1\nhardware = "one kind"\n[pools.other]\nslots = 1\nhardware = "another kind"\n'
TARGETS = [
    {"safetensors-bf16": {"on": ["cpu", "gpu-l4"]}},
    "gguf-f16",
    "gguf-q8_0",
    {"onnx-fp32": {"on": ["cpu", "other"]}},
]
STRICT = {"metric": "kld_mean", "maximum": 1e-12, "targets": "gguf-f16", "reason": "a bound that no rounding holds"}


@pytest.fixture
def ended(
    dag_runner: DagRunner, hub_mirror: Any, mlflow_beside_folder: Any, tmp_path: Path
) -> tuple[Ended, LocalStore]:
    server, root = mlflow_beside_folder
    # With the model of the other releases into this folder, what they made of it is reused.
    hub_mirror.add(MODEL, {path.name: path for path in DEMO.iterdir() if path.is_file()})
    (dag_runner.home / "settings.toml").write_text(BESIDE_OTHERS + POOLS)
    recipe = yaml.safe_load((REPOSITORY / HERE / "small.yaml").read_text())
    recipe |= {"targets": TARGETS, "gates": [*recipe["gates"], STRICT]}
    recipe |= {"required": ["onnx-fp32"], "expect_blocked": ["gguf-f16", "gguf-q8_0"]}
    (tmp_path / "verdicts.yaml").write_text(yaml.safe_dump(recipe))
    dag_runner.environment |= {
        "HALLMARK_STORE": f"file://{root}",
        "HALLMARK_TEST_RECIPE": str(tmp_path / "verdicts.yaml"),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": json.dumps({"conn_type": "http", "host": server.url}),
    }
    chosen = ["safetensors-bf16", "gguf-f16", "gguf-q8_0", "onnx-fp32"]
    (ended,) = dag_runner.release({"model": MODEL, "targets": chosen})
    return ended, LocalStore(root)


def test_every_verdict_of_one_release(ended: tuple[Ended, LocalStore]) -> None:
    run, store = ended
    assert run.state == "success", run.failure
    released = {target.target: target for target in read_release(store, run.facts("register")["release"]).targets}
    outcomes = {name: target.outcome for name, target in released.items()}
    assert outcomes == {
        "safetensors-bf16": "unproven",
        "gguf-f16": "blocked",
        "gguf-q8_0": "blocked",
        "onnx-fp32": "passed",
    }
    check_base(run, released)
    check_pools(run, released)
    promote = run.facts("promote")
    assert promote["promoted"] == ["acme--tales--onnx-fp32"]
    # test_release, which runs before, released two other targets of this model.
    assert "acme--tales--gguf-f16" not in promote["champions"]
    page = store.get_bytes(run.facts("report")["report"]).decode()
    assert "onnx-fp32, other" in page and "declares no pool" in page


def check_base(run: Ended, released: dict[str, ReleasedTarget]) -> None:
    """A block is a failed task, and the gate of what is made from it runs and says the base's reason."""
    assert run.tasks["gguf-f16.gate"] == run.tasks["gguf-q8_0.gate"] == "failed"
    assert run.tasks["gguf-f16.judged"] == run.tasks["gguf-q8_0.benchmark"] == "success"
    reason = released["gguf-f16"].reason
    assert reason.startswith("KLD mean ") and reason.endswith("> 1e-12")
    assert released["gguf-q8_0"].reason == f"made from gguf-f16, which was blocked: {reason}"
    assert run.return_value["gguf-q8_0.gate"]["facts"]["metrics"]["kld_mean"]["value"] < 0.01


def check_pools(run: Ended, released: dict[str, ReleasedTarget]) -> None:
    """Each proof is measured in its pool; one without a place is skipped, and the artifact is made and kept."""
    places = [(proof.pool, proof.outcome) for proof in released["onnx-fp32"].proofs]
    assert places == [("cpu", "passed"), ("other", "passed")]
    here, there = (run.return_value[f"onnx-fp32.{pool}.benchmark"]["artifact"] for pool in ("cpu", "other"))
    assert here != there, "the hardware of the pool is in the key of a timing"
    unproven = released["safetensors-bf16"]
    assert unproven.artifact and unproven.registered_name is None
    assert [proof.outcome for proof in unproven.proofs] == ["passed", "unproven"]
    assert run.tasks["safetensors-bf16.gpu-l4.evaluate"] == run.tasks["safetensors-bf16.gpu-l4.gate"] == "skipped"
