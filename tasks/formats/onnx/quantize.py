"""Dynamic int8 quantization of an exported graph: weights once, activations as they come. Needs no calibration."""

import math
import shutil
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from tasks.errors import ToolFailed
from tasks.formats.onnx.external_data import external_files, read_graph
from tasks.formats.onnx.target import Int8Options

# protobuf's limit is 2 GiB for one message; the graph itself needs some of it.
INLINE_BYTES = 1_900_000_000


def quantize_int8(base: Path, path: Path, scratch: Path, options: Int8Options) -> int:
    """Write the int8 graph of `base` to `path`; return how many matrices it quantized.

    Raises ToolFailed where a weight matrix stayed in floating point, since the target's name would not be true then.
    """
    unfolded = scratch / "unfolded.onnx"
    _unfold_transposes(_private_copy(base, scratch), unfolded)
    graph = onnx.load(str(unfolded), load_external_data=False).graph
    elements = sum(math.prod(tensor.dims) for tensor in graph.initializer)
    quantize_dynamic(
        unfolded,
        path,
        weight_type=QuantType.QInt8,
        per_channel=options.per_channel,
        reduce_range=options.reduce_range,
        use_external_data_format=elements > INLINE_BYTES,
    )
    return _count_quantized(path)


def _private_copy(base: Path, scratch: Path) -> Path:
    """Return the graph in `scratch`: onnx refuses external data with several hard links, as files of a cache have."""
    model = read_graph(base)
    for name in external_files(model):
        shutil.copyfile(base.parent / name, scratch / name)
    shutil.copyfile(base, scratch / base.name)
    return scratch / base.name


def _unfold_transposes(source: Path, path: Path) -> None:
    """Save the graph with each transposed weight of a matrix product as a weight of its own.

    A tied output head is the transposed embedding. The quantizer takes only constants: it would leave the product in
    floating point, and the graph would turn the whole vocabulary's matrix back into floats for every token.
    """
    model = onnx.load(str(source))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        if node.input[0] in weights and node.output[0] in multiplied:
            order = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
            array = numpy_helper.to_array(weights[node.input[0]]).transpose(*order)
            graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    onnx.save_model(model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)


def _count_quantized(path: Path) -> int:
    """Return the number of integer matrix products; raises ToolFailed where one with a constant matrix is none."""
    model = onnx.load(str(path), load_external_data=False)
    matrices = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 1}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    left = [node.input[1] for node in products if node.input[1] in matrices]
    quantized = sum(node.op_type in ("MatMulInteger", "QLinearMatMul") for node in model.graph.node)
    if left or not quantized:
        what = f"the matrix {left[0]!r} stayed" if left else "every matrix stayed"
        raise ToolFailed(f"onnxruntime's quantizer did not do its work: {what} in floating point.")
    return quantized
