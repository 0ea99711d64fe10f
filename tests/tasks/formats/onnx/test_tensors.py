"""Weights of a graph are found by their names, and read by the arithmetic of each way in which they are stored."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tasks.checkpoint.arrays import Numbers
from tasks.errors import Corrupt
from tasks.formats.onnx.export_names import name_weights
from tasks.formats.onnx.target import Int8Options
from tasks.formats.onnx.tensors import KNOWN, stored_tensors
from tasks.formats.onnx.weight_only import quantize_weights
from tasks.formats.stored import Content, Source
from tasks.integrity.compare import UNKNOWN, compare
from tasks.integrity.record import Integrity
from tests.matrix.cases import all_cases
from tests.tasks.formats.analyses import analysis_with

pytestmark = pytest.mark.runtime("torch")

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(0, 0.02, (48, 64)).astype(np.float32)
NAME = "model.layers.0.mlp.up_proj.weight"
STORED = f"model.{NAME}.transposed"


def content(
    folder: Path, nodes: list[onnx.NodeProto], arrays: Mapping[str, NDArray[Any]], unused: Collection[str] = ()
) -> Content:
    """Return what a graph stores that computes with these arrays, but for the unused ones."""
    seen = [name for name in arrays if name not in unused]
    graph = helper.make_graph(
        [*nodes, *(helper.make_node("Shape", [name], [f"shape of {name}"]) for name in seen)],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 48]),
            *(helper.make_tensor_value_info(f"shape of {name}", TensorProto.INT64, ["n"]) for name in seen),
        ],
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
    found = content(tmp_path, [product], {"val_87": -WEIGHT.T, "val_1": np.ones(3, np.float32)})
    assert [(tensor.name, tensor.origin) for tensor in found.tensors] == [("val_87", None)]


@pytest.mark.parametrize("place", ["constant", "list", "subgraph", "8 bits"])
def test_numbers_that_are_no_weight_of_the_graph_come_from_nowhere(tmp_path: Path, place: str) -> None:
    """They may be another matrix than the source's, with which the graph computes."""
    numbers = numpy_helper.from_array(1.02 * WEIGHT.T, "w")
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["then"])],
        "inner",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, [64, 48])],
        [numbers],
    )
    nodes = {
        "constant": helper.make_node("Constant", [], ["w"], value=numbers),
        "list": helper.make_node("Constant", [], ["w"], value_floats=[1.0] * 300),
        "subgraph": helper.make_node("If", ["condition"], ["w"], then_branch=inner, else_branch=inner),
        "8 bits": helper.make_node("DequantizeLinear", ["integers", "step"], ["w"]),
    }
    arrays: dict[str, NDArray[Any]] = {STORED: WEIGHT.T}
    if place == "8 bits":
        arrays |= {"integers": np.ones((64, 48), np.int8), "step": np.array(0.01, np.float32)}
    found = content(tmp_path, [nodes[place]], arrays)
    assert {tensor.name for tensor in found.tensors if tensor.origin} == {STORED}
    assert [tensor for tensor in found.tensors if not tensor.origin]


@pytest.mark.parametrize("dead", [True, False])
def test_a_weight_that_no_output_depends_on_is_refused(tmp_path: Path, dead: bool) -> None:
    nodes = [helper.make_node("Identity", [STORED], ["nothing"])] if dead else []
    with pytest.raises(
        Corrupt, match=f"no output depends on the weight '{STORED}'; run the release again with 'force'"
    ):
        content(tmp_path, nodes, {STORED: WEIGHT.T}, unused=[STORED])


def test_a_mask_and_a_table_of_indices_are_no_weights(tmp_path: Path) -> None:
    assert not content(tmp_path, [], {"mask": np.ones((32, 32), bool), "ids": np.arange(300)}).tensors


@pytest.mark.parametrize(("turned", "how"), [(False, "as it is"), (True, "transposed")])
def test_a_matrix_without_a_name_is_known_by_its_numbers(tmp_path: Path, turned: bool, how: str) -> None:
    stored = WEIGHT.T if turned else WEIGHT
    (tensor,) = content(tmp_path, [], {"val_87": stored}).tensors
    assert tensor.origin is not None and tensor.origin.how == how and tensor.origin.known
    (part,) = tensor.origin.parts
    assert part.source == NAME and np.array_equal(part.numbers.bits, stored)
    almost = stored.copy()
    almost[-1, -1] += 1e-6
    assert content(tmp_path, [], {"val_87": almost}).tensors[0].origin is None


def judged(folder: Path, model_type: str, arrays: Mapping[str, NDArray[Any]]) -> Integrity:
    content(folder, [], arrays)
    source = Source({NAME: Numbers("F32", WEIGHT)}, {}, analysis_with(tied_embeddings=False, model_type=model_type))
    return compared(folder, source)


def test_a_constant_that_nothing_explains_blocks_a_known_model_and_is_told_of_another(tmp_path: Path) -> None:
    waves = np.sin(np.arange(64 * 300, dtype=np.float32)).reshape(300, 64)
    arrays = {STORED: WEIGHT.T, "val_87": waves}
    assert judged(tmp_path, "llama", arrays).from_nowhere == ("val_87",)
    found = judged(tmp_path, "novel", arrays)
    assert (found.causes, dict(found.not_compared)) == ({}, {"val_87": UNKNOWN})
    assert "1 tensor was not compared with the source (val_87)" in found.caveats[0]


def test_a_wrong_weight_blocks_a_model_of_any_type(tmp_path: Path) -> None:
    found = judged(tmp_path, "novel", {STORED: 1.02 * WEIGHT.T})
    assert [tensor.name for tensor in found.faulty] == [STORED] and "tensors_faithful" in found.causes


def test_what_is_computed_from_a_parameter_of_another_model_is_not_called_wrong(tmp_path: Path) -> None:
    arrays = {f"model.{NAME}.computed": 1 + WEIGHT}
    assert "tensors_faithful" in judged(tmp_path, "llama", arrays).causes
    found = judged(tmp_path, "novel", arrays)
    assert (found.causes, list(found.not_compared)) == ({}, [f"model.{NAME}.computed"])


def test_the_known_models_are_those_that_the_matrix_exports() -> None:
    assert {case.arch for case in all_cases() if case.target.startswith("onnx-")} == KNOWN


def test_eight_bits_with_a_scale_for_each_column(tmp_path: Path) -> None:
    scale = (np.abs(WEIGHT).max(-1) / 127).astype(np.float32)
    integers = np.round(WEIGHT / scale[:, None]).astype(np.int8)
    arrays = {f"{STORED}_quantized": integers.T, f"{STORED}_scale": scale, f"{STORED}_zero_point": 0 * integers[:, 0]}
    node = helper.make_node("MatMulInteger", ["x", f"{STORED}_quantized"], ["y"])
    wanted = integers.astype(np.float32) * scale[:, None]
    assert np.array_equal(read(content(tmp_path, [node], arrays)), wanted)


def test_eight_bits_of_a_parameter_that_is_kept_as_inputs_by_outputs(tmp_path: Path) -> None:
    """GPT-2's matrices have a scale for each of their own columns."""
    values = RANDOM.integers(-127, 128, (48, 64)).astype(np.int8)
    name, scale = f"model.{NAME}", RANDOM.uniform(0.001, 0.01, 64).astype(np.float32)
    arrays = {f"{name}_quantized": values, f"{name}_scale": scale, f"{name}_zero_point": 0 * values[0]}
    (tensor,) = content(
        tmp_path, [helper.make_node("MatMulInteger", ["x", f"{name}_quantized"], ["y"])], arrays
    ).tensors
    assert tensor.origin is not None and tensor.origin.how == "transposed" and tensor.shape == (64, 48)
    assert np.array_equal(tensor.origin.parts[0].numbers.bits, WEIGHT.T)
    assert np.array_equal(tensor.read(0, 64), (values.astype(np.float32) * scale).T)


EMBEDDED, HEAD, LEARNED, COMPUTED = "embed_tokens.weight", "lm_head.weight", "wpe.weight", "embed_positions.weights"
UP, DOWN, TURNED = "up.weight", "down.weight", "conv1d.weight"
ROWS, WIDTH, INNER = 50, 72, 576


def parameters(tied: bool) -> dict[str, NDArray[np.float32]]:
    """Return random parameters. Rows of 72 numbers are no multiple of a block of 32, and those of 576 none of 128."""
    shapes = {EMBEDDED: (ROWS, WIDTH), LEARNED: (9, WIDTH), UP: (INNER, WIDTH), DOWN: (WIDTH, INNER)}
    # GPT-2 keeps the matrices of its products as [inputs, outputs].
    shapes |= {TURNED: (WIDTH, INNER)} | ({} if tied else {HEAD: (ROWS, WIDTH)})
    random = np.random.default_rng(4)
    return {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}


def in_blocks(folder: Path, source: Source, block_size: int) -> Path:
    """Write the int8 graph that the converter makes of a graph with look-ups, products, and computed positions."""
    arrays = {name: numbers.bits for name, numbers in source.tensors.items()}
    tied = HEAD not in arrays
    kept = {f"model.{name}": array for name, array in arrays.items() if name in (EMBEDDED, LEARNED, TURNED)}
    kept |= {f"model.{name}.transposed": array.T for name, array in arrays.items() if name in (UP, DOWN, HEAD)}
    kept[f"model.{COMPUTED}"] = np.sin(np.arange(9 * WIDTH, dtype=np.float32)).reshape(9, WIDTH)
    nodes = [
        helper.make_node("Transpose", [f"model.{EMBEDDED}"], ["tied"]) if tied else None,
        helper.make_node("Gather", [f"model.{EMBEDDED}", "ids"], ["found"]),
        helper.make_node("Gather", [f"model.{LEARNED}", "ids"], ["placed"]),
        helper.make_node("Gather", [f"model.{COMPUTED}", "ids"], ["waves"]),
        helper.make_node("Sum", ["found", "placed", "waves"], ["inner"]),
        helper.make_node("MatMul", ["inner", f"model.{UP}.transposed"], ["wide"]),
        helper.make_node("MatMul", ["wide", f"model.{DOWN}.transposed"], ["outer"]),
        helper.make_node("Gemm", ["outer", f"model.{TURNED}"], ["other"]),
        helper.make_node("MatMul", ["outer", "tied" if tied else f"model.{HEAD}.transposed"], ["logits"]),
    ]
    graph = helper.make_graph(
        [node for node in nodes if node is not None],
        "toy",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["tokens", ROWS]),
            helper.make_tensor_value_info("other", TensorProto.FLOAT, ["tokens", INNER]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in kept.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    base, path = folder / "base.onnx", folder / "model.onnx"
    onnx.save(model, str(base))
    quantize_weights(base, path, Int8Options(block_size=block_size))
    return path


def source_of(tied: bool) -> Source:
    numbers = {name: Numbers("F32", array) for name, array in parameters(tied).items()}
    return Source(numbers, {}, analysis_with(tied_embeddings=tied))


def compared(folder: Path, source: Source) -> Integrity:
    return compare("onnx-int8", stored_tensors(folder, source, {}), source, 1, lambda what, share: None)


def scale_up(path: Path, name: str, factor: float) -> None:
    """Multiply the scales of one matrix."""
    model = onnx.load(str(path))
    (scales,) = (one for one in model.graph.initializer if name in one.name and one.name.endswith("_scales"))
    scales.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scales) * np.float32(factor), scales.name))
    onnx.save(model, str(path))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("block_size", [32, 128])
def test_what_the_converter_stores_in_blocks_is_whole(tmp_path: Path, tied: bool, block_size: int) -> None:
    source = source_of(tied)
    in_blocks(tmp_path, source, block_size)
    found = compared(tmp_path, source)
    assert (found.causes, found.not_compared, found.lost, found.from_nowhere) == ({}, {}, (), ())
    assert [found.metrics[name].value for name in ("tensors_covered", "tensors_faithful")] == [1, 1]
    assert sorted(name for tensor in found.tensors for name in tensor.sources) == sorted(source.tensors)
    assert list(found.constants) == ["model.embed_positions.weights_Q8"]
    assert {tensor.type for tensor in found.tensors} == {f"uint8 in blocks of {block_size}"}
    # Half a step or less of a block's largest number, by 128.
    assert all(tensor.error is not None and 0.001 < tensor.error < 0.01 for tensor in found.tensors)


@pytest.mark.parametrize("block_size", [32, 128])
@pytest.mark.parametrize(
    ("name", "tied"), [*((name, False) for name in (EMBEDDED, LEARNED, UP, DOWN, TURNED, HEAD)), (EMBEDDED, True)]
)
def test_a_scale_that_is_2_per_cent_too_large_is_found(tmp_path: Path, block_size: int, name: str, tied: bool) -> None:
    source = source_of(tied)
    path = in_blocks(tmp_path, source, block_size)
    scale_up(path, name, 1.02)
    (faulty,) = compared(tmp_path, source).faulty
    assert faulty.sources == (name,) and faulty.fault is not None and faulty.fault.startswith("scale 1.0")


def test_a_graph_in_another_layout_is_refused(tmp_path: Path) -> None:
    source = source_of(tied=True)
    path = in_blocks(tmp_path, source, 32)
    model = onnx.load(str(path))
    next(node for node in model.graph.node if node.op_type == "Unsqueeze").input[0] = "ids"
    onnx.save(model, str(path))
    with pytest.raises(Corrupt, match=r"has no constant scales of the shape \[50, 3\] behind an Unsqueeze"):
        stored_tensors(tmp_path, source, {})


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
