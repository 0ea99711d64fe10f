"""The graph with weights in blocks beside numpy, which computes with the same weights read back by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.runtime("torch")

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

from tasks.errors import Corrupt, ToolFailed
from tasks.formats.onnx import weights
from tasks.formats.onnx.blocks import BlockedMatrix, dequantize_blocks
from tasks.formats.onnx.dynamic import quantize_dynamically
from tasks.formats.onnx.inspect import check_graph
from tasks.formats.onnx.target import DynamicOptions, Int8Options
from tasks.formats.onnx.weight_only import quantize_weights

VOCABULARY, WIDTH, INNER = 37, 40, 512
EXACT = Int8Options(block_size=32, accuracy_level=1)
IDS = np.array([[1, 2, 36], [0, 5, 36]])
STORED = {
    "embedding": ("embedding_Q8", WIDTH),
    "places": ("places_Q8", WIDTH),
    "up": ("up_transposed_Q8", WIDTH),
    "down": ("down_transposed_Q8", INNER),
    "plain": ("plain_transposed_Q8", WIDTH),
    "turned": ("turned_Q8", WIDTH),
}
"""Of each matrix the name of its stored values, and the columns of a row."""

Arrays = dict[str, NDArray[np.float32]]


def arrays() -> Arrays:
    """Return the constants: matrices [inputs, outputs], tables [rows, width], and vectors."""
    generator = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (VOCABULARY, WIDTH),
        "places": (9, WIDTH),
        "up": (WIDTH, INNER),
        "down": (INNER, WIDTH),
    }
    shapes |= {"plain": (WIDTH, INNER), "turned": (INNER, WIDTH), "norm": (WIDTH,), "bias": (INNER,)}
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def compute(constants: Arrays) -> list[NDArray[np.float32]]:
    """Return what the graph computes, by numpy."""
    found = constants["embedding"][IDS] * constants["norm"] + constants["places"][:3]
    outer = found @ constants["up"] @ constants["down"]
    rows = outer.reshape(-1, WIDTH)
    return [
        outer @ constants["embedding"].T,
        rows @ constants["plain"] + constants["bias"],
        rows @ constants["turned"].T + constants["bias"],
    ]


def write_graph(path: Path, external: bool = False) -> Path:
    """Write a graph with look-ups, products of each kind, and an output head that is the transposed embedding."""
    nodes = [
        helper.make_node("Transpose", ["embedding"], ["head"]),
        helper.make_node("Gather", ["embedding", "ids"], ["found"]),
        helper.make_node("Gather", ["places", "positions"], ["placed"]),
        helper.make_node("Mul", ["found", "norm"], ["normed"]),
        helper.make_node("Add", ["normed", "placed"], ["inner"]),
        helper.make_node("MatMul", ["inner", "up"], ["wide"]),
        helper.make_node("MatMul", ["wide", "down"], ["outer"]),
        helper.make_node("MatMul", ["outer", "head"], ["logits"]),
        helper.make_node("Reshape", ["outer", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "plain", "bias"], ["fifth"]),
        helper.make_node("Gemm", ["rows", "turned", "bias"], ["sixth"], transB=1),
    ]
    outputs = {"logits": ["batch", "tokens", VOCABULARY], "fifth": ["rows", INNER], "sixth": ["rows", INNER]}
    constants = [numpy_helper.from_array(array, name) for name, array in arrays().items()]
    constants.append(numpy_helper.from_array(np.array([-1, WIDTH]), "flat"))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in ("ids", "positions")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        constants,
    )
    # As exporters note it, of weights too.
    graph.value_info.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [VOCABULARY, WIDTH]))
    graph.value_info.append(helper.make_tensor_value_info("found", TensorProto.FLOAT, ["batch", "tokens", WIDTH]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = f"{path.name}.data"
    onnx.save_model(model, str(path), save_as_external_data=external, location=data, size_threshold=0)
    return path


def run(path: Path, threads: int = 1, ids: NDArray[np.int64] = IDS) -> list[NDArray[np.float32]]:
    """Return what the graph computes, by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    return list(session.run(None, {"ids": ids, "positions": positions}))


def constants_of(path: Path) -> dict[str, Any]:
    """Return the constants of a graph by name."""
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(str(path)).graph.initializer}


def read_back(path: Path) -> Arrays:
    """Return the graph's constants, its matrices dequantized and in the shapes of `arrays`."""
    found = constants_of(path)
    read = {"norm": found["norm"], "bias": found["bias"]}
    for name, (values, columns) in STORED.items():
        matrix = dequantize_blocks(BlockedMatrix(found[values], found[f"{values}_scales"]), columns)
        read[name] = matrix.T if "transposed" in values else matrix
    return read


def largest_error(path: Path, expected: list[NDArray[np.float32]]) -> float:
    """Return the largest difference, as a share of the largest number of each output."""
    pairs = zip(run(path), expected, strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(theirs).max()) for ours, theirs in pairs)


@pytest.mark.parametrize("block_size", [16, 32, 128])
@pytest.mark.parametrize("external", [False, True])
def test_the_graph_computes_with_the_weights_that_numpy_reads_from_it(
    block_size: int, external: bool, tmp_path: Path
) -> None:
    base = write_graph(tmp_path / "base" / "model.onnx", external=external)
    path = tmp_path / "model.onnx"
    assert quantize_weights(base, path, Int8Options(block_size=block_size, accuracy_level=1)) == 5
    check_graph(path)
    read = read_back(path)
    assert largest_error(path, compute(read)) < 1e-5
    # Half a step of the largest number of a block, or one step.
    assert all(np.abs(read[name] - array).max() <= np.abs(array).max() / 128 for name, array in arrays().items())
    assert 1e-4 < largest_error(path, compute(arrays())) < 0.02


def test_activations_of_8_bits_cost_about_as_much_as_the_weights(tmp_path: Path) -> None:
    base, path = write_graph(tmp_path / "base.onnx"), tmp_path / "model.onnx"
    quantize_weights(base, path, Int8Options(block_size=32, accuracy_level=4))
    assert largest_error(path, compute(read_back(path))) < 0.02


def test_a_token_is_computed_alone_as_among_others_and_by_one_thread_as_by_two(tmp_path: Path) -> None:
    """The scales of the activations are those of a token's own blocks."""
    base, path = write_graph(tmp_path / "base.onnx"), tmp_path / "model.onnx"
    quantize_weights(base, path, Int8Options())
    whole = run(path)[0]
    np.testing.assert_allclose(run(path, threads=2)[0], whole, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(run(path, ids=IDS[1:, :2])[0], whole[1:, :2], rtol=1e-5, atol=1e-3)


def test_an_outlier_costs_less_than_with_one_scale_for_the_whole_tensor(tmp_path: Path) -> None:
    """Large language models have channels that are far larger than all others."""
    outlier = arrays()
    outlier["up"][:, 7] *= 300
    # What the outlier meets is small, so that the other channels decide the result.
    outlier["down"][7] /= 300

    def change(graph: Any) -> None:
        for one in graph.initializer:
            if one.name in ("up", "down"):
                one.CopyFrom(numpy_helper.from_array(outlier[one.name], one.name))

    base, path = changed(tmp_path, change), tmp_path / "model.onnx"
    quantize_weights(base, path, Int8Options())
    quantize_dynamically(base, tmp_path / "dynamic.onnx", tmp_path, DynamicOptions())
    expected = compute(outlier)
    assert largest_error(path, expected) < 0.3 * largest_error(tmp_path / "dynamic.onnx", expected)


def exchange_scales(found: dict[str, Any]) -> None:
    scales = found["down_transposed_Q8_scales"]
    scales[3, 0], scales[3, 1] = scales[3, 1], scales[3, 0]


def shift_zero_points(found: dict[str, Any]) -> None:
    found["up_transposed_Q8"][4, 1, :8] += 1


def exchange_rows(found: dict[str, Any]) -> None:
    found["embedding_Q8"][[36, 5]] = found["embedding_Q8"][[5, 36]]


@pytest.mark.parametrize("change", [exchange_scales, shift_zero_points, exchange_rows])
def test_a_planted_fault_in_one_block_shows(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    base, path = write_graph(tmp_path / "base.onnx"), tmp_path / "model.onnx"
    quantize_weights(base, path, EXACT)
    expected = compute(read_back(path))
    assert largest_error(path, expected) < 1e-5
    model = onnx.load(str(path))
    found = {one.name: numpy_helper.to_array(one).copy() for one in model.graph.initializer}
    change(found)
    for one in model.graph.initializer:
        one.CopyFrom(numpy_helper.from_array(found[one.name], one.name))
    onnx.save_model(model, str(path))
    assert largest_error(path, expected) > 1e-4


def test_a_tied_table_is_stored_once(tmp_path: Path) -> None:
    base, path = write_graph(tmp_path / "base.onnx"), tmp_path / "model.onnx"
    quantize_weights(base, path, EXACT)
    found = constants_of(path)
    assert {name for name in found if "embedding" in name} == {"embedding_Q8", "embedding_Q8_scales"}
    assert not [name for name, array in found.items() if array.dtype == np.float32 and name in STORED]
    # The head's and the look-up's; the transpose of the float table is gone.
    read_by = [node.op_type for node in onnx.load(str(path)).graph.node if "embedding_Q8" in node.input]
    assert sorted(read_by) == ["GatherBlockQuantized", "MatMulNBits"]


def test_what_is_too_large_for_one_message_lies_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_graph(tmp_path / "base" / "model.onnx")
    quantize_weights(base, tmp_path / "inline.onnx", Int8Options())
    monkeypatch.setattr(weights, "INLINE_BYTES", 100)
    monkeypatch.setattr(weights, "ALIGNMENT", 64)
    quantize_weights(base, tmp_path / "model.onnx", Int8Options())
    assert (tmp_path / "model.onnx.data").stat().st_size > 4 * WIDTH * INNER
    ours, theirs = constants_of(tmp_path / "model.onnx"), constants_of(tmp_path / "inline.onnx")
    assert ours.keys() == theirs.keys() and all((ours[name] == theirs[name]).all() for name in ours)
    assert all((one == other).all() for one, other in zip(*map(run, tmp_path.glob("*.onnx")), strict=True))


def test_scales_and_filled_blocks_count_for_the_size_of_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_graph(tmp_path / "base" / "model.onnx")
    for options in (Int8Options(block_size=16), Int8Options(block_size=256)):
        whole = tmp_path / f"{options.block_size}.onnx"
        quantize_weights(base, whole, options)
        made = sum(array.nbytes for name, array in constants_of(whole).items() if "_Q8" in name)
        for limit in (made, made - 1):
            path = tmp_path / f"{options.block_size}-{limit}.onnx"
            with monkeypatch.context() as patched:
                patched.setattr(weights, "INLINE_BYTES", limit)
                quantize_weights(base, path, options)
            assert path.with_name(f"{path.name}.data").exists() == (limit < made)


def changed(tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """Return the base with a change of its graph."""
    base = write_graph(tmp_path / "base.onnx")
    model = onnx.load(str(base))
    change(model.graph)
    onnx.save_model(model, str(base))
    return base


def test_numbers_that_are_not_finite_are_named(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        (tensor,) = (one for one in graph.initializer if one.name == "up")
        array = numpy_helper.to_array(tensor).copy()
        array[2, 3] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(array, "up"))

    with pytest.raises(Corrupt, match="The matrix 'up' of the fp32 graph contains NaN or infinity"):
        quantize_weights(changed(tmp_path, change), tmp_path / "model.onnx", EXACT)


def a_scaled_product(graph: Any) -> None:
    graph.node[-1].attribute.append(helper.make_attribute("alpha", 2.0))


def a_bias_for_each_row(graph: Any) -> None:
    next(one for one in graph.initializer if one.name == "bias").dims[:] = [1, INNER]


def a_look_up_of_columns(graph: Any) -> None:
    graph.node[2].attribute.append(helper.make_attribute("axis", 1))


def stacked_matrices(graph: Any) -> None:
    next(one for one in graph.initializer if one.name == "up").dims[:] = [2, WIDTH, INNER // 2]


def a_product_in_a_branch(graph: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    output = helper.make_tensor_value_info("chosen_wide", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("MatMul", ["inner", "up"], ["chosen_wide"])], "b", [], [output])
    graph.node[5].CopyFrom(helper.make_node("If", ["always"], ["wide"], then_branch=branch, else_branch=branch))


@pytest.mark.parametrize(
    ("change", "matrix"),
    [
        (a_scaled_product, "turned"),
        (a_bias_for_each_row, "plain"),
        (a_look_up_of_columns, "places"),
        (stacked_matrices, "up"),
        (a_product_in_a_branch, "up"),
    ],
)
def test_a_matrix_that_would_stay_in_floating_point_is_an_error(
    change: Callable[[Any], None], matrix: str, tmp_path: Path
) -> None:
    with pytest.raises(ToolFailed, match=f"the matrix '{matrix}' in an unknown way; leave onnx-int8 out"):
        quantize_weights(changed(tmp_path, change), tmp_path / "model.onnx", EXACT)


def test_a_matrix_that_is_also_added_stays_for_the_sum(tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        graph.node.append(helper.make_node("Add", ["up", "up"], ["twice"]))
        graph.output.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, [WIDTH, INNER]))

    path = tmp_path / "model.onnx"
    quantize_weights(changed(tmp_path, change), path, EXACT)
    assert (run(path)[-1] == 2 * arrays()["up"]).all()
