"""Makes `onnx-int8-dynamic`: quantizes weights now and activations at run time. It needs no calibration text.

onnxruntime's quantizer keeps several copies of a graph in memory (8.5 GB for a graph of 2 GB) and is slow. So it gets
the graph with a placeholder of one element in place of each matrix. Its result for the placeholder shows how the
matrix must be quantized, and dynamic_matrix.py does that block by block. The result is the same, bit for bit.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from tasks.errors import ToolFailed
from tasks.formats.onnx.dynamic_matrix import quantize_matrix
from tasks.formats.onnx.external_data import nodes, read_graph
from tasks.formats.onnx.target import DynamicOptions
from tasks.formats.onnx.weights import Weights, WeightsWriter

PLACEHOLDER = np.ones((1, 1), np.float32)
"""The placeholder for a matrix. Its rank must be 2, because the rank decides whether each channel gets a scale."""

SUFFIXES = ("_quantized", "_scale", "_zero_point")
"""The suffixes that onnxruntime's quantizer adds to a weight's name, for the three tensors that replace the weight."""


def quantize_dynamically(base: Path, path: Path, scratch: Path, options: DynamicOptions) -> int:
    """Write the int8 graph of the fp32 graph `base` to `path`. Return the number of integer matrix products in it.

    Raises ToolFailed if a weight matrix stayed in floating point, because the artifact would not be int8 then. Raises
    Corrupt, with the matrix's name, if a number in a matrix is not finite.
    """
    model = read_graph(base)
    weights = Weights(model, base.parent)
    _unfold_transposes(model, weights)
    matrices = _only_in_products(model, weights)
    _keep_only_shapes(model, matrices, weights)
    inferred = onnx.shape_inference.infer_shapes(model)
    _insert_placeholders(model.graph, matrices, inferred.graph)
    outline = scratch / "outline.onnx"
    try:
        quantize_dynamic(
            model,
            outline,
            weight_type=QuantType.QInt8,
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            # With placeholders, onnx cannot infer the type of the product into which the quantizer turns a Gemm.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    except (AssertionError, RuntimeError, ValueError) as error:
        # The quantizer rejects many graphs by a bare assertion.
        why = str(error) or "it gives no reason"
        raise ToolFailed(f"onnxruntime's quantizer rejects the graph: {why}; leave onnx-int8-dynamic out.") from error
    if not outline.is_file():
        raise ToolFailed("onnxruntime's quantizer reports success but wrote no graph; leave onnx-int8-dynamic out.")
    quantized = onnx.load(str(outline))
    for field in ("value_info", "output"):
        quantized.graph.ClearField(field)
        getattr(quantized.graph, field).extend(getattr(inferred.graph, field))
    _fill(quantized, matrices, weights, path, options.reduce_range)
    return _count_quantized(path)


def _unfold_transposes(model: onnx.ModelProto, weights: Weights) -> None:
    """Replace each transposed weight of a matrix product by a new weight.

    A tied output head is the transposed embedding. The quantizer quantizes only products with constants, so this
    product would stay in floating point. A Gemm that transposes its weight gets a new weight, too, with the name that
    the quantizer itself would give it.
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
    """Return the matrices that are used only in products, or only to look rows up, in the order of the weights."""
    places: dict[str, set[tuple[str, int]]] = {}
    for node in nodes(model):
        for place, name in enumerate(node.input):
            places.setdefault(name, set()).add((node.op_type, place))
    kinds = ({("MatMul", 1), ("Gemm", 1)}, {("Gather", 0)})
    return [
        name for name in weights.matrices() if any(places.get(name, set()) and places[name] <= kind for kind in kinds)
    ]


def _keep_only_shapes(model: onnx.ModelProto, matrices: Collection[str], weights: Weights) -> None:
    """Put the weights that are used into the graph. The matrices get only their shapes, no values."""
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


def _insert_placeholders(graph: onnx.GraphProto, matrices: Collection[str], inferred: onnx.GraphProto) -> None:
    """Replace each matrix by the placeholder, and give intermediate results their inferred types, without shapes."""
    for tensor in graph.initializer:
        if tensor.name in matrices:
            tensor.CopyFrom(numpy_helper.from_array(PLACEHOLDER, tensor.name))
    del graph.value_info[:]
    for known in inferred.value_info:
        # Without shapes, which would contradict those of the placeholders.
        if known.type.HasField("tensor_type"):
            graph.value_info.add(name=known.name).type.tensor_type.elem_type = known.type.tensor_type.elem_type


def _fill(model: onnx.ModelProto, matrices: Collection[str], weights: Weights, path: Path, reduce_range: bool) -> None:
    """Quantize each matrix as its placeholder was quantized, put it into the graph, and save the graph."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    # A matrix that other nodes read, too, stays beside its quantized values.
    total = sum(weights[name].size + (weights[name].nbytes if name in tensors else 0) for name in matrices)
    with WeightsWriter(model, path, total) as writer:
        for name in matrices:
            matrix = weights[name]
            made = [tensors[name + suffix] for suffix in SUFFIXES if name + suffix in tensors]
            if name in tensors:
                writer.put(tensors[name], matrix)
            elif len(made) < len(SUFFIXES):
                raise ToolFailed(
                    f"onnxruntime's quantizer treated the matrix {name!r} in an unknown way; "
                    "leave onnx-int8-dynamic out."
                )
            if len(made) == len(SUFFIXES):
                quantized = quantize_matrix(
                    name,
                    matrix,
                    made[0].data_type,
                    per_channel=bool(made[1].dims),
                    # An embedding table always has 8 bits.
                    reduce_range=reduce_range and made[0].data_type == TensorProto.INT8,
                )
                for tensor, array in zip(made, (quantized.values, quantized.scale, quantized.zero_point), strict=True):
                    writer.put(tensor, array)


def _count_quantized(path: Path) -> int:
    """Return the number of integer matrix products.

    Raises ToolFailed if a product with a constant is not one, or if a table of rows is stored in floating point.
    """
    model = onnx.load(str(path), load_external_data=False)
    matrices = {tensor.name: tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    left = [node.input[1] for node in products if node.input[1] in matrices]
    tables = [node.input[0] for node in model.graph.node if node.op_type == "Gather"]
    left += [name for name in tables if matrices.get(name) == TensorProto.FLOAT]
    quantized = sum(node.op_type in ("MatMulInteger", "QLinearMatMul") for node in model.graph.node)
    if left or not quantized:
        what = f"the matrix {left[0]!r} stayed" if left else "every matrix stayed"
        raise ToolFailed(
            f"onnxruntime's quantizer did not quantize all: {what} in floating point; leave onnx-int8-dynamic out."
        )
    return quantized
