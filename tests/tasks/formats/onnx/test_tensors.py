"""Weights of a graph are found by their names, and read by the arithmetic of each way in which they are stored."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tasks.checkpoint.arrays import Numbers
from tasks.formats.onnx.export_names import name_weights
from tasks.formats.onnx.tensors import stored_tensors
from tasks.formats.stored import Content, Source
from tests.tasks.formats.analyses import analysis_with

pytestmark = pytest.mark.runtime("torch")

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(0, 0.02, (48, 64)).astype(np.float32)
NAME = "model.layers.0.mlp.up_proj.weight"
STORED = f"model.{NAME}.transposed"


def content(folder: Path, nodes: list[onnx.NodeProto], arrays: Mapping[str, NDArray[Any]]) -> Content:
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 48])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph), str(folder / "model.onnx"))
    source = Source({NAME: Numbers("F32", WEIGHT)}, {}, analysis_with(tied_embeddings=False))
    return stored_tensors(folder, source, {})


def read(found: Content) -> NDArray[np.float32]:
    (tensor,) = found.tensors
    assert tensor.origin is not None and [part.source for part in tensor.origin.parts] == [NAME]
    assert tensor.shape == (48, 64) and tensor.importance is None and tensor.data is not None
    return np.concatenate([tensor.read(0, 7), tensor.read(7, 48)])


def test_a_matrix_of_a_product_is_transposed(tmp_path: Path) -> None:
    product = helper.make_node("MatMul", ["x", STORED], ["y"])
    assert np.array_equal(read(content(tmp_path, [product], {STORED: WEIGHT.T})), WEIGHT)


def test_a_matrix_without_a_name_comes_from_nowhere_and_a_small_constant_does_not_count(tmp_path: Path) -> None:
    product = helper.make_node("MatMul", ["x", "val_87"], ["y"])
    found = content(tmp_path, [product], {"val_87": WEIGHT.T, "val_1": np.ones(3, np.float32)})
    assert [(tensor.name, tensor.origin) for tensor in found.tensors] == [("val_87", None)]


def test_eight_bits_with_a_scale_for_each_column(tmp_path: Path) -> None:
    scale = (np.abs(WEIGHT).max(-1) / 127).astype(np.float32)
    integers = np.round(WEIGHT / scale[:, None]).astype(np.int8)
    arrays = {f"{STORED}_quantized": integers.T, f"{STORED}_scale": scale, f"{STORED}_zero_point": 0 * integers[:, 0]}
    node = helper.make_node("MatMulInteger", ["x", f"{STORED}_quantized"], ["y"])
    wanted = integers.astype(np.float32) * scale[:, None]
    assert np.array_equal(read(content(tmp_path, [node], arrays)), wanted)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero_points", [False, True])
def test_blocks_of_a_product_in_few_bits(tmp_path: Path, bits: int, zero_points: bool) -> None:
    """Formula: the operator MatMulNBits of onnxruntime; of two numbers in a byte, the first is the low half."""
    integers = RANDOM.integers(0, 2**bits, (48, 2, 32)).astype(np.uint8)
    scale = RANDOM.uniform(0.001, 0.01, (48, 2)).astype(np.float32)
    zero = RANDOM.integers(0, 2**bits, (48, 2)).astype(np.uint8) if zero_points else np.full((48, 2), 2 ** (bits - 1))
    packed = integers if bits == 8 else integers[..., ::2] | integers[..., 1::2] << 4
    arrays: dict[str, NDArray[Any]] = {f"{STORED}_Q{bits}": packed, f"{STORED}_scales": scale.reshape(-1)}
    names = ["x", f"{STORED}_Q{bits}", f"{STORED}_scales"]
    if zero_points:
        both = zero if bits == 8 else zero[:, :1] | zero[:, 1:] << 4
        arrays[f"{STORED}_zero_points"] = both.astype(np.uint8).reshape(-1)
        names.append(f"{STORED}_zero_points")
    node = helper.make_node("MatMulNBits", names, ["y"], domain="com.microsoft", K=64, N=48, bits=bits, block_size=32)
    wanted = (integers.astype(np.float32) - zero[..., None].astype(np.float32)) * scale[..., None]
    assert np.array_equal(read(content(tmp_path, [node], arrays)), wanted.reshape(48, 64))


def test_the_head_may_have_an_older_name_in_the_checkpoint(tmp_path: Path) -> None:
    product = helper.make_node("MatMul", ["x", "model.lm_head.weight.transposed"], ["y"])
    content(tmp_path, [product], {"model.lm_head.weight.transposed": WEIGHT.T})
    source = Source({"embed_out.weight": Numbers("F32", WEIGHT)}, {}, analysis_with(tied_embeddings=False))
    (tensor,) = stored_tensors(tmp_path, source, {}).tensors
    assert tensor.origin is not None and [part.source for part in tensor.origin.parts] == ["embed_out.weight"]


@pytest.mark.parametrize(("value", "dropped"), [(0, True), (1, False)])
def test_only_a_bias_of_zeros_may_be_missing(tmp_path: Path, value: float, dropped: bool) -> None:
    content(tmp_path, [], {})
    bias = {"layers.0.up.bias": Numbers("F32", np.full(300, value, np.float32))}
    found = stored_tensors(tmp_path, Source(bias, {}, analysis_with(tied_embeddings=False)), {})
    assert ("layers.0.up.bias" in found.dropped) == dropped


def test_equal_parameters_may_be_stored_once(tmp_path: Path) -> None:
    norms = {f"model.layers.{layer}.norm.weight": Numbers("F32", np.ones(300, np.float32)) for layer in range(2)}
    content(tmp_path, [], {"model.model.layers.0.norm.weight": np.ones(300, np.float32)})
    found = stored_tensors(tmp_path, Source(norms, {}, analysis_with(tied_embeddings=False)), {})
    said = "the same numbers as model.layers.0.norm.weight, which the graph holds once for both"
    assert found.dropped == {"model.layers.1.norm.weight": said}


def test_what_was_computed_from_one_parameter_gets_its_name() -> None:
    notes = {"pkg.onnxscript.optimizer.folded_from": "['model.up.weight', 'val_16']"}
    both = {"pkg.onnxscript.optimizer.folded_from": "['model.a', 'model.b']"}
    matrix = SimpleNamespace(name="val_1", shape=(3, 4), metadata_props=notes)
    vector = SimpleNamespace(name="val_2", shape=(3,), metadata_props=dict(notes))
    mixed = SimpleNamespace(name="val_3", shape=(3, 4), metadata_props=both)
    plain = SimpleNamespace(name="model.down.weight", shape=(3, 4), metadata_props={}, is_initializer=lambda: True)
    turned = SimpleNamespace(name="val_4", shape=(4, 3), metadata_props={}, is_initializer=lambda: False)
    node = SimpleNamespace(op_type="Transpose", inputs=[plain], outputs=[turned])
    values = {value.name: value for value in (matrix, vector, mixed, plain)}
    graph = SimpleNamespace(initializers=values, all_nodes=lambda: [node])
    name_weights(SimpleNamespace(graph=graph))
    assert [value.name for value in (matrix, vector, mixed, plain, turned)] == [
        "model.up.weight.transposed",
        "model.up.weight.computed",
        "val_3",
        "model.down.weight",
        "model.down.weight.transposed",
    ]
