"""The dynamic int8 graph beside what onnxruntime's quantizer itself makes of the whole graph: the same to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.runtime("torch")

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization")

from onnx import TensorProto, helper, numpy_helper

from tasks.errors import Corrupt, ToolFailed
from tasks.formats.onnx import dynamic_matrix, weights
from tasks.formats.onnx.dynamic import quantize_dynamically
from tasks.formats.onnx.target import DynamicOptions

VOCABULARY, WIDTH, INNER = 37, 8, 24


def arrays() -> dict[str, NDArray[np.float32]]:
    """Return matrices [inputs, outputs]: one with a column of zeros and one of numbers next to it, and a small norm."""
    generator = np.random.default_rng(5)
    shapes = {"embedding": (VOCABULARY, WIDTH), "up": (WIDTH, INNER), "down": (INNER, WIDTH), "norm": (WIDTH,)}
    shapes |= {"stacked": (1, INNER, WIDTH), "plain": (WIDTH, INNER), "turned": (INNER, WIDTH), "bias": (INNER,)}
    made = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    made["up"][:, 3], made["up"][:, 5], made["down"][0, 0] = 0, 1e-38, 40
    return made


def write_graph(path: Path, *, unfolded: bool = False, external: bool = False) -> Path:
    """Write a graph with a look-up, products, one of them batched, and an output head that is the transposed embedding.

    Where it is `unfolded` what is transposed is a weight of its own, as onnxruntime's quantizer wants it.
    """
    constants = arrays()
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["found"]),
        helper.make_node("Mul", ["found", "norm"], ["normed"]),
        helper.make_node("MatMul", ["normed", "up"], ["inner"], name="first"),
        helper.make_node("MatMul", ["inner", "down"], ["outer"], name="second"),
        helper.make_node("MatMul", ["outer", "head"], ["logits"], name="third"),
        helper.make_node("MatMul", ["outer", "batched"], ["aside"], name="fourth"),
        helper.make_node("Reshape", ["outer", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "plain", "bias"], ["fifth_out"], name="fifth"),
        helper.make_node("Gemm", ["rows", "turned", "bias"], ["sixth_out"], name="sixth", transB=1),
    ]
    if unfolded:
        constants["head"] = constants["embedding"].T.copy()
        constants["batched"] = constants.pop("stacked").transpose(0, 2, 1).copy()
    else:
        nodes.insert(0, helper.make_node("Transpose", ["embedding"], ["head"]))
        nodes.insert(1, helper.make_node("Transpose", ["stacked"], ["batched"], perm=[0, 2, 1]))
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "tokens", VOCABULARY]),
            helper.make_tensor_value_info("aside", TensorProto.FLOAT, ["batch", "tokens", INNER]),
            helper.make_tensor_value_info("fifth_out", TensorProto.FLOAT, ["rows", INNER]),
            helper.make_tensor_value_info("sixth_out", TensorProto.FLOAT, ["rows", INNER]),
        ],
        [
            *(numpy_helper.from_array(array, name) for name, array in constants.items()),
            numpy_helper.from_array(np.array([-1, WIDTH]), "flat"),
        ],
    )
    # As exporters tell it, of weights too.
    graph.value_info.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [VOCABULARY, WIDTH]))
    graph.value_info.append(helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["batch", "tokens", INNER]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = f"{path.name}.data"
    onnx.save_model(model, str(path), save_as_external_data=external, location=data, size_threshold=0)
    return path


def said(path: Path) -> tuple[list[Any], dict[str, tuple[Any, tuple[int, ...], bytes]], dict[str, Any]]:
    """Return a graph's nodes; of each weight the type, the shape and the bytes; and the type of each result."""
    graph = onnx.load(str(path)).graph
    tensors = {one.name: (one.data_type, tuple(one.dims)) for one in graph.initializer}
    values = {one.name: numpy_helper.to_array(one).tobytes() for one in graph.initializer}
    results = {one.name: one.type for one in (*graph.input, *graph.output, *graph.value_info)}
    return list(graph.node), {name: (*facts, values[name]) for name, facts in tensors.items()}, results


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_it_is_what_onnxruntime_makes_of_the_whole_graph(
    per_channel: bool, reduce_range: bool, external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_matrix, "BLOCK_ELEMENTS", 50)
    base = write_graph(tmp_path / "base" / "model.onnx", external=external)
    options = DynamicOptions(per_channel=per_channel, reduce_range=reduce_range)
    assert quantize_dynamically(base, tmp_path / "ours.onnx", tmp_path, options) == 6
    quantization.quantize_dynamic(
        write_graph(tmp_path / "unfolded.onnx", unfolded=True),
        tmp_path / "theirs.onnx",
        weight_type=quantization.QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=reduce_range,
    )
    our_nodes, our_weights, our_results = said(tmp_path / "ours.onnx")
    their_nodes, their_weights, their_results = said(tmp_path / "theirs.onnx")
    assert our_nodes == their_nodes
    assert our_weights == their_weights
    # It also notes what it infers of the products that it makes of a Gemm.
    assert set(their_results) - set(our_results) == {"fifth_out_MatMul", "sixth_out_MatMul"}
    assert our_results.items() <= their_results.items()


def test_what_is_too_large_for_one_message_lies_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_graph(tmp_path / "base" / "model.onnx")
    quantize_dynamically(base, tmp_path / "inline.onnx", tmp_path, DynamicOptions())
    monkeypatch.setattr(weights, "INLINE_BYTES", 100)
    monkeypatch.setattr(weights, "ALIGNMENT", 64)
    quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions())
    assert (tmp_path / "model.onnx.data").stat().st_size > 3 * VOCABULARY * WIDTH
    assert said(tmp_path / "model.onnx") == said(tmp_path / "inline.onnx")


def test_a_matrix_that_is_looked_up_and_multiplied_is_refused(tmp_path: Path) -> None:
    """onnxruntime has no quantization that suits both; with a stand-in it would not see that."""
    base = write_graph(tmp_path / "base.onnx")
    model = onnx.load(str(base))
    next(node for node in model.graph.node if node.name == "first").input[1] = "down"
    model.graph.node.append(helper.make_node("Gather", ["down", "ids"], ["looked_up"]))
    model.graph.output.append(helper.make_tensor_value_info("looked_up", TensorProto.FLOAT, None))
    onnx.save_model(model, str(base))
    with pytest.raises(ToolFailed, match="onnxruntime's quantizer rejects the graph"):
        quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    base = write_graph(tmp_path / "base.onnx")
    model = onnx.load(str(base))
    (tensor,) = (one for one in model.graph.initializer if one.name == "up")
    array = numpy_helper.to_array(tensor).copy()
    array[2, 3] = value
    tensor.CopyFrom(numpy_helper.from_array(array, "up"))
    onnx.save_model(model, str(base))
    with pytest.raises(Corrupt, match="The matrix 'up' of the fp32 graph contains NaN or infinity"):
        quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions())


def test_what_only_a_branch_takes_is_kept(tmp_path: Path) -> None:
    base = write_graph(tmp_path / "base.onnx")
    model = onnx.load(str(base))
    model.graph.initializer.append(numpy_helper.from_array(np.full((3, 4), 7, np.float32), "far"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    branches = {}
    for name, node in {"then": ("Identity", "far"), "else": ("Neg", "far")}.items():
        output = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [3, 4])
        inner = helper.make_node(node[0], [node[1]], [f"{name}_out"])
        branches[f"{name}_branch"] = helper.make_graph([inner], name, [], [output])
    model.graph.node.append(helper.make_node("If", ["always"], ["chosen"], **branches))
    model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [3, 4]))
    onnx.save_model(model, str(base))
    quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions(per_channel=False))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert (session.run(["chosen"], {"ids": np.array([[1, 2]])})[0] == 7).all()


def test_a_matrix_that_is_added_keeps_its_shape(tmp_path: Path) -> None:
    """A stand-in for it would change the graph's shapes; the sum takes what the quantizer turns back into floats."""
    base = write_graph(tmp_path / "base.onnx")
    model = onnx.load(str(base))
    model.graph.node.append(helper.make_node("Add", ["up", "up"], ["twice"]))
    model.graph.output.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, [WIDTH, INNER]))
    onnx.save_model(model, str(base))
    quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions(per_channel=False))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    twice = session.run(["twice"], {"ids": np.array([[1, 2]])})[0]
    assert np.abs(twice - 2 * arrays()["up"]).max() < 0.05


def copies(model: Any, output: Path, **_: object) -> None:
    onnx.save_model(model, str(output))


def keeps_the_embedding(model: Any, output: Path, **options: Any) -> None:
    operators = {"op_types_to_quantize": ["MatMul", "Gemm"]}
    quantization.quantize_dynamic(model, output, **options, **operators)


def writes_nothing(model: Any, output: Path, **_: object) -> None:
    pass


def writes_an_empty_file(model: Any, output: Path, **_: object) -> None:
    output.touch()


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (copies, "the matrix '.*' stayed in floating point"),
        (keeps_the_embedding, "the matrix 'embedding' stayed in floating point"),
        (writes_nothing, "wrote no graph"),
        (writes_an_empty_file, "treated the matrix 'embedding' in an unknown way"),
    ],
)
def test_a_quantizer_that_did_not_quantize_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Any, told: str
) -> None:
    monkeypatch.setattr("tasks.formats.onnx.dynamic.quantize_dynamic", tool)
    base = write_graph(tmp_path / "base.onnx")
    with pytest.raises(ToolFailed, match=told):
        quantize_dynamically(base, tmp_path / "model.onnx", tmp_path, DynamicOptions())
