"""Dynamic int8 quantization of an exported graph: weights once, activations as they come. Needs no calibration.

onnxruntime's quantizer holds a graph several times, 8.5 GB for one of 2 GB, and takes the channels of a matrix one by
one. Here it is given the graph with a stand-in of one element for each matrix. What it makes of the stand-in says how
the matrix is to be quantized, and that is done block by block, by its own formula: the result is the same to the bit.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from tasks.errors import ToolFailed
from tasks.formats.onnx.external_data import nodes, read_graph
from tasks.formats.onnx.matrix import quantize_matrix
from tasks.formats.onnx.target import Int8Options
from tasks.formats.onnx.weights import Weights, WeightsWriter

STAND_IN_SHAPE = (1, 1)

SUFFIXES = ("_quantized", "_scale", "_zero_point")
"""What onnxruntime's quantizer appends to the name of a weight for the three tensors that take its place."""


def quantize_int8(base: Path, path: Path, scratch: Path, options: Int8Options) -> int:
    """Write the int8 graph of `base` to `path`; return how many matrices it quantized.

    Raises ToolFailed where a weight matrix stayed in floating point, since the target's name would not be true then.
    """
    model = read_graph(base)
    weights = Weights(model, base.parent)
    _unfold_transposes(model.graph, weights)
    matrices = _only_in_products(model, weights)
    shapes = _stand_in(model, matrices, weights)
    outline = scratch / "outline.onnx"
    quantize_dynamic(
        model,
        outline,
        weight_type=QuantType.QInt8,
        per_channel=options.per_channel,
        reduce_range=options.reduce_range,
    )
    quantized = onnx.load(str(outline))
    del quantized.graph.value_info[:]
    quantized.graph.value_info.extend(shapes)
    _fill(quantized, matrices, weights, path, options.reduce_range)
    return _count_quantized(path)


def _unfold_transposes(graph: onnx.GraphProto, weights: Weights) -> None:
    """Make each transposed weight of a matrix product a weight of its own.

    A tied output head is the transposed embedding. The quantizer takes only constants: it would leave the product in
    floating point, and the graph would turn the whole vocabulary's matrix back into floats for every token.
    """
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        if node.input[0] in weights and node.output[0] in multiplied:
            order = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
            weights.add(node.output[0], weights[node.input[0]].transpose(*order))
            graph.node.remove(node)


def _only_in_products(model: onnx.ModelProto, weights: Weights) -> list[str]:
    """Return, in the order of the weights, the matrices of which nothing is asked but products and rows."""
    places: dict[str, set[tuple[str, int]]] = {}
    for node in nodes(model):
        for place, name in enumerate(node.input):
            places.setdefault(name, set()).add((node.op_type, place))
    known = {("MatMul", 1), ("Gather", 0)}
    return [name for name in weights.matrices() if places.get(name) and places[name] <= known]


def _stand_in(model: onnx.ModelProto, matrices: Collection[str], weights: Weights) -> list[onnx.ValueInfoProto]:
    """Give the graph its weights, those that nothing takes left out, with a stand-in for each matrix.

    Return the types and shapes of its results, as onnx infers them with the matrices' own shapes.
    """
    graph = model.graph
    used = {name for node in nodes(model) for name in node.input} | {output.name for output in graph.output}
    del graph.initializer[:]
    for name in (name for name in weights if name in used):
        if name in matrices:
            shaped = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=weights[name].shape)
            shaped.data_location = TensorProto.EXTERNAL
            graph.initializer.append(shaped)
        else:
            graph.initializer.append(numpy_helper.from_array(weights[name], name))
    shapes = list(onnx.shape_inference.infer_shapes(model).graph.value_info)
    del graph.value_info[:]
    for known in shapes:
        # The type only: the shape would contradict the stand-ins.
        told = graph.value_info.add(name=known.name)
        told.type.tensor_type.elem_type = known.type.tensor_type.elem_type
    for tensor in graph.initializer:
        if tensor.name in matrices:
            tensor.CopyFrom(numpy_helper.from_array(np.ones(STAND_IN_SHAPE, np.float32), tensor.name))
    return shapes


def _fill(model: onnx.ModelProto, matrices: Collection[str], weights: Weights, path: Path, reduce_range: bool) -> None:
    """Put what the matrices become in the place of what their stand-ins became, and save the graph."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    total = sum(weights[name].size for name in matrices)
    with WeightsWriter(model, path, total) as writer:
        for name in matrices:
            matrix = weights[name]
            if name in tensors:
                writer.put(tensors[name], matrix)
            made = [tensors.get(name + suffix) for suffix in SUFFIXES]
            if made[0] is None or made[1] is None or made[2] is None:
                continue
            told = quantize_matrix(
                matrix,
                made[0].data_type,
                per_channel=bool(made[1].dims),
                # A look-up has its rows in 8 bits at any rate.
                reduce_range=reduce_range and made[0].data_type == TensorProto.INT8,
            )
            for tensor, array in zip(made, (told.values, told.scale, told.zero_point), strict=True):
                writer.put(tensor, array)


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
