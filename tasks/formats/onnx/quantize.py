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

STAND_IN = np.ones((1, 1), np.float32)
"""What the quantizer sees of a matrix: it has the rank that decides of scales for channels, and nothing to compute."""

SUFFIXES = ("_quantized", "_scale", "_zero_point")
"""What onnxruntime's quantizer appends to the name of a weight for the three tensors that take its place."""


def quantize_int8(base: Path, path: Path, scratch: Path, options: Int8Options) -> int:
    """Write the int8 graph of `base` to `path`; return how many matrices it quantized.

    Raises ToolFailed where a weight matrix stayed in floating point, since the target's name would not be true then,
    and Corrupt, naming the matrix, where one holds a number that is not finite.
    """
    model = read_graph(base)
    weights = Weights(model, base.parent)
    _unfold_transposes(model, weights)
    matrices = _only_in_products(model, weights)
    _empty(model, matrices, weights)
    inferred = onnx.shape_inference.infer_shapes(model)
    _stand_in(model.graph, matrices, inferred.graph)
    outline = scratch / "outline.onnx"
    try:
        quantize_dynamic(
            model,
            outline,
            weight_type=QuantType.QInt8,
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            # Of the product that it makes of a Gemm, onnx infers nothing with stand-ins.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    except (AssertionError, RuntimeError, ValueError) as error:
        # Many of its refusals are bare assertions.
        why = str(error) or "it does not say why"
        raise ToolFailed(f"onnxruntime's quantizer refuses the graph: {why}; leave onnx-int8 out.") from error
    quantized = onnx.load(str(outline))
    for field in ("value_info", "output"):
        quantized.graph.ClearField(field)
        getattr(quantized.graph, field).extend(getattr(inferred.graph, field))
    _fill(quantized, matrices, weights, path, options.reduce_range)
    return _count_quantized(path)


def _unfold_transposes(model: onnx.ModelProto, weights: Weights) -> None:
    """Make each transposed weight of a matrix product a weight of its own.

    A tied output head is the transposed embedding. The quantizer takes only constants: it would leave the product in
    floating point, and the graph would turn the whole vocabulary's matrix back into floats for every token. A Gemm that
    transposes its weight is one, too; the names are those that the quantizer itself gives then.
    """
    graph = model.graph
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        if node.input[0] in weights and node.output[0] in multiplied:
            order = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
            weights.add(node.output[0], weights[node.input[0]].transpose(*order))
            graph.node.remove(node)
    for node in graph.node:
        transposes = [attribute for attribute in node.attribute if attribute.name == "transB" and attribute.i]
        if node.op_type == "Gemm" and transposes and node.input[1] in weights:
            name = f"{node.input[1]}_Transposed"
            weights.add(name, weights[node.input[1]].T)
            node.input[1] = name
            node.attribute.remove(transposes[0])


def _only_in_products(model: onnx.ModelProto, weights: Weights) -> list[str]:
    """Return, in the order of the weights, the matrices of which nothing is asked but products, or nothing but rows."""
    places: dict[str, set[tuple[str, int]]] = {}
    for node in nodes(model):
        for place, name in enumerate(node.input):
            places.setdefault(name, set()).add((node.op_type, place))
    kinds = ({("MatMul", 1), ("Gemm", 1)}, {("Gather", 0)})
    return [
        name for name in weights.matrices() if any(places.get(name, set()) and places[name] <= kind for kind in kinds)
    ]


def _empty(model: onnx.ModelProto, matrices: Collection[str], weights: Weights) -> None:
    """Give the graph its weights, those that nothing takes left out, and of the matrices the shapes alone."""
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


def _stand_in(graph: onnx.GraphProto, matrices: Collection[str], inferred: onnx.GraphProto) -> None:
    """Put a stand-in in the place of each matrix, and tell of the graph's results the inferred types alone."""
    for tensor in graph.initializer:
        if tensor.name in matrices:
            tensor.CopyFrom(numpy_helper.from_array(STAND_IN, tensor.name))
    del graph.value_info[:]
    for known in inferred.value_info:
        # Their shapes would contradict the stand-ins'.
        if known.type.HasField("tensor_type"):
            graph.value_info.add(name=known.name).type.tensor_type.elem_type = known.type.tensor_type.elem_type


def _fill(model: onnx.ModelProto, matrices: Collection[str], weights: Weights, path: Path, reduce_range: bool) -> None:
    """Put what the matrices become in the place of what their stand-ins became, and save the graph."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    total = sum(weights[name].size for name in matrices)
    with WeightsWriter(model, path, total) as writer:
        for name in matrices:
            matrix = weights[name]
            made = [tensors[name + suffix] for suffix in SUFFIXES if name + suffix in tensors]
            if name in tensors:
                writer.put(tensors[name], matrix)
            elif len(made) < len(SUFFIXES):
                raise ToolFailed(f"onnxruntime's quantizer made of the matrix {name!r} something that is not known.")
            if len(made) == len(SUFFIXES):
                quantized = quantize_matrix(
                    name,
                    matrix,
                    made[0].data_type,
                    per_channel=bool(made[1].dims),
                    # A look-up has its rows in 8 bits at any rate.
                    reduce_range=reduce_range and made[0].data_type == TensorProto.INT8,
                )
                for tensor, array in zip(made, (quantized.values, quantized.scale, quantized.zero_point), strict=True):
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
