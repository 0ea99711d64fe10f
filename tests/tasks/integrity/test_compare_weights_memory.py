"""The memory of a comparison: what the plan counts for the conversion is enough for it, too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tasks.formats.onnx.target import INLINE_BYTES, Int8Options
from tasks.formats.onnx.weight_only import quantize_weights
from tasks.formats.registry import load_format, parse_target
from tasks.settings import REPOSITORY
from tests.fixtures.checkpoints import write_weights
from tests.tasks.formats.analyses import analysis_with
from tests.tasks.formats.gguf.writer import write_gguf
from tests.tasks.integrity import peak

pytestmark = pytest.mark.runtime("torch")

WIDTH, MATRICES = 1024, 16
EMBEDDED = "model.embed_tokens.weight"
SMALL = 32_000_000
"""Bytes besides the copies of the weights: two pieces, and a row of each tensor. Measured: 1 to 22 MB."""

COPIES = {"safetensors-bf16": 0.0, "gguf-f16": 0.0, "onnx-fp32": 2.0, "onnx-int8": 2.0}
"""How often the weights of an artifact are in memory. protobuf parses a graph whole: its bytes, and its weights."""


def name_of(place: int) -> str:
    return f"model.layers.{place}.self_attn.o_proj.weight"


@pytest.fixture(scope="module")
def arrays() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    names = [EMBEDDED, *map(name_of, range(MATRICES))]
    return {name: random.normal(0, 0.02, (WIDTH, WIDTH)).astype(np.float32) for name in names}


def write_graph(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    nodes = [helper.make_node("Gather", [f"model.{EMBEDDED}", "ids"], ["x0"])]
    kept = {f"model.{EMBEDDED}": arrays[EMBEDDED]}
    for place in range(MATRICES):
        stored = f"model.{name_of(place)}.transposed"
        kept[stored] = np.ascontiguousarray(arrays[name_of(place)].T)
        nodes.append(helper.make_node("MatMul", [f"x{place}", stored], [f"x{place + 1}"]))
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [helper.make_tensor_value_info(f"x{MATRICES}", TensorProto.FLOAT, ["tokens", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in kept.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), str(path))


def write(folder: Path, target: str, arrays: dict[str, NDArray[np.float32]]) -> int:
    """Write an artifact that stores these arrays; return the bytes of its weights."""
    (folder / target).mkdir()
    if target == "safetensors-bf16":
        write_weights(folder / target, arrays)
    elif target == "gguf-f16":
        names = ["token_embd.weight", *(f"blk.{place}.attn_output.weight" for place in range(MATRICES))]
        sizes = dict.fromkeys(names, (WIDTH, WIDTH))
        write_gguf(
            folder / target / "x-F16.gguf", {"general.architecture": "llama"}, sizes, dict.fromkeys(names, "f16")
        )
    elif target == "onnx-fp32":
        write_graph(folder / target / "model.onnx", arrays)
    else:
        write_graph(folder / "base.onnx", arrays)
        quantize_weights(folder / "base.onnx", folder / target / "model.onnx", Int8Options())
    return sum(path.stat().st_size for path in (folder / target).iterdir())


@pytest.mark.parametrize("target", COPIES)
def test_the_weights_are_as_often_in_memory_as_the_plan_counts(
    tmp_path: Path, target: str, arrays: dict[str, NDArray[np.float32]]
) -> None:
    (tmp_path / "snapshot").mkdir()
    write_weights(tmp_path / "snapshot", arrays)
    size = write(tmp_path, target, arrays)
    done = subprocess.run(
        [sys.executable, peak.__file__, tmp_path, target],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    print(target, f"{size / 1e6:.0f} MB:", {name: f"{value / 1e6:.0f} MB" for name, value in measured.items()})
    assert measured["peak"] - measured["before"] <= COPIES[target] * size + SMALL


@pytest.mark.parametrize("parameters", [10**8, INLINE_BYTES // 4, INLINE_BYTES])
@pytest.mark.parametrize("target", COPIES)
def test_the_prediction_of_a_conversion_covers_the_comparison(target: str, parameters: int) -> None:
    analysis = analysis_with(parameters=parameters, weight_bytes=2 * parameters)
    named = parse_target(target)
    predicted = load_format(named.format).predict(named, analysis)
    inline = predicted.size_bytes if predicted.size_bytes <= INLINE_BYTES else 0
    started = 50_000_000
    assert predicted.memory_bytes >= COPIES[target] * inline + SMALL + started
