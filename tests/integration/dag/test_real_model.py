"""A really trained model is released by the default gates: sound files pass, and a file that loses too much is blocked.

The model is SmolLM2-135M-Instruct, rebuilt from a Python package (deploy/real). Its checkpoint is kept for later runs.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.real.__main__ import NAME, different, rebuild
from deploy.setup.places import home
from tasks.release.record import ReleasedTarget, read_release
from tasks.store.local import LocalStore
from tests.integration.dag.conftest import DagRunner

pytestmark = [pytest.mark.stack, pytest.mark.servers]

MODEL = "acme/smollm2"
BLOCKED = "gguf-q4_0"
TARGETS = ("safetensors-bf16", "gguf-q8_0", BLOCKED)
RECIPE = {
    "description": "A model that was really trained, on little text.",
    "licences": ["apache-2.0"],
    "texts": {"evaluation": "texts/demo-evaluation.jsonl", "calibration": "texts/demo-calibration.jsonl"},
    # So many windows decide all gates of these targets.
    "evaluation": {"windows": 24, "generations": 2, "generated_tokens": 16, "long_window_tokens": 0},
    # An importance matrix, and an export to ONNX, take as long as all the rest.
    "targets": ["safetensors-bf16", "gguf-q8_0", {BLOCKED: {"imatrix": False}}],
    "gates": "defaults",
    "expect_blocked": [BLOCKED],
}


@pytest.fixture
def checkpoint() -> Path:
    """The folder of the model; it is rebuilt if it is not there."""
    folder = home() / NAME / "smollm2-135m-instruct"
    if different(folder):
        rebuild(folder)
    assert different(folder) == []
    return folder


@pytest.fixture
def released(
    dag_runner: DagRunner, hub_mirror: Any, mlflow_beside_folder: Any, checkpoint: Path, tmp_path: Path
) -> dict[str, ReleasedTarget]:
    server, root = mlflow_beside_folder
    hub_mirror.add(MODEL, {path.name: path for path in checkpoint.iterdir() if path.is_file()})
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(RECIPE))
    dag_runner.environment |= {
        "HALLMARK_STORE": f"file://{root}",
        "HALLMARK_TEST_RECIPE": str(tmp_path / "real.yaml"),
        "AIRFLOW_CONN_HALLMARK_MLFLOW": json.dumps({"conn_type": "http", "host": server.url}),
    }
    (ended,) = dag_runner.release({"model": MODEL, "targets": list(TARGETS)})
    assert ended.state == "success", ended.failure
    release = read_release(LocalStore(root), ended.facts("register")["release"])
    return {target.target: target for target in release.targets}


def test_the_default_gates_let_sound_files_pass_and_block_what_lost_too_much(
    released: dict[str, ReleasedTarget],
) -> None:
    outcomes = {name: target.outcome for name, target in released.items()}
    assert outcomes == {**dict.fromkeys(TARGETS, "passed"), BLOCKED: "blocked"}
    assert "KLD mean" in released[BLOCKED].reason
    kld = {name: target.metrics["kld_mean"].value for name, target in released.items()}
    assert kld["safetensors-bf16"] < kld["gguf-q8_0"] < kld[BLOCKED] / 10
    assert all(target.metrics["tokenizer_parity"].value == 1 for target in released.values())
    # The file has the source's own weights, so nothing but the arithmetic of bfloat16 can differ.
    noise = released["safetensors-bf16"].metrics["noise_kld_mean"].value
    assert 0.5 < kld["safetensors-bf16"] / noise < 1.5
