"""Makes `onnx-int8`: stores the weights of an exported graph in blocks of 8 bits. It needs no calibration text.

onnxruntime's quantizer of graphs keeps several copies of a graph in memory, does not see a tied output head, and has no
8 bits for embedding tables. So the graph is rewritten here, and onnxruntime quantizes the numbers, some rows at a time:

- A product with a constant becomes MatMulNBits.
- A look-up in a table becomes GatherBlockQuantized, which dequantizes only the rows that it returns.
- A tied table is stored once, for the look-up and for the output head.

blocks.py describes the layout of the constants.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tasks.errors import ToolFailed
from tasks.formats.onnx.block_quantizer import quantize_blocks
from tasks.formats.onnx.blocks import BITS, DOMAIN, LOOK_UP, PRODUCT
from tasks.formats.onnx.external_data import nodes, read_graph
from tasks.formats.onnx.inspect import float_matrices
from tasks.formats.onnx.target import SCALE_BYTES, Int8Options
from tasks.formats.onnx.weights import Weights, WeightsWriter


def quantize_weights(base: Path, path: Path, options: Int8Options) -> int:
    """Write the int8 graph of the fp32 graph `base` to `path`. Return the number of quantized products in it.

    Raises ToolFailed if a matrix stayed in floating point, because the artifact would not be int8 then. Raises Corrupt,
    with the matrix's name, if a number in a matrix is not finite.
    """
    model = read_graph(base)
    weights = Weights(model, base.parent)
    rewriting = _Rewriting(weights, options)
    rewritten = rewriting.rewrite(model.graph)
    del model.graph.node[:]
    model.graph.node.extend(rewritten)
    model.opset_import.add(domain=DOMAIN, version=1)
    if left := float_matrices(model):
        raise ToolFailed(
            f"The graph multiplies or looks up the matrix {left[0]!r} in an unknown way; leave onnx-int8 out."
        )
    _write(model, weights, list(rewriting.stored), path, options.block_size)
    return sum(node.op_type == PRODUCT for node in rewritten)


@dataclass(frozen=True)
class _Stored:
    """A matrix that the new graph stores: a weight of the fp32 graph, or its transpose."""

    weight: str
    transposed: bool

    def shape(self, weights: Weights) -> tuple[int, int]:
        """Return (rows, columns)."""
        first, second = weights.shape(self.weight)
        return (second, first) if self.transposed else (first, second)

    def stored_bytes(self, weights: Weights, block_size: int) -> int:
        """Return the size of its values, which fill whole blocks, and of its scales."""
        rows, columns = self.shape(weights)
        return rows * -(-columns // block_size) * (block_size + SCALE_BYTES)

    @property
    def values(self) -> str:
        """The name of its values."""
        return f"{self.weight}{'_transposed' if self.transposed else ''}_Q{BITS}"

    @property
    def scales(self) -> str:
        """The name of its scales."""
        return f"{self.values}_scales"


@dataclass
class _Rewriting:
    """The rewriting of a graph's nodes.

    stored: the matrices that the new nodes read, each once, in the order of the nodes.
    turned: the results that are the transpose of a matrix, with the matrix.
    """

    weights: Weights
    options: Int8Options
    stored: dict[_Stored, None] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)

    def rewrite(self, graph: onnx.GraphProto) -> list[NodeProto]:
        """Return the new nodes of a graph, without transposes that nothing reads any more."""
        for node in graph.node:
            # A matrix has no other transpose than the one with both axes exchanged.
            if node.op_type == "Transpose" and self.weights.is_matrix(node.input[0]):
                self.turned[node.output[0]] = node.input[0]
        new = [made for node in graph.node for made in self._replaced(node)]
        read = {name for node in new for name in node.input} | {output.name for output in graph.output}
        return [node for node in new if node.output[0] in read or node.output[0] not in self.turned]

    def _replaced(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield what replaces a node: itself, unless it multiplies by a matrix or looks up rows."""
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        matrix = None
        if node.op_type == "MatMul":
            matrix = self._right_operand(node.input[1], transposed=False)
        elif node.op_type == "Gemm" and self._only_adds_a_bias(node, settings):
            matrix = self._right_operand(node.input[1], transposed=bool(settings.get("transB")))
        if matrix is not None:
            yield self._product(node, matrix)
        elif node.op_type == "Gather" and self.weights.is_matrix(node.input[0]) and not settings.get("axis"):
            yield from self._look_up(node)
        else:
            yield node

    def _right_operand(self, name: str, transposed: bool) -> _Stored | None:
        """Return the matrix whose rows are the columns of an operand, or None if it is not made of a weight."""
        if name in self.turned:
            return _Stored(self.turned[name], transposed)
        return _Stored(name, not transposed) if self.weights.is_matrix(name) else None

    def _only_adds_a_bias(self, node: NodeProto, settings: dict[str, Any]) -> bool:
        """Return whether a Gemm is a product that adds one number to each column, if any."""
        plain = all(settings.get(name, value) == value for name, value in {"alpha": 1, "beta": 1, "transA": 0}.items())
        bias = [name for name in node.input[2:] if name]
        return plain and all(name in self.weights and len(self.weights.shape(name)) == 1 for name in bias)

    def _product(self, node: NodeProto, matrix: _Stored) -> NodeProto:
        self.stored[matrix] = None
        rows, columns = matrix.shape(self.weights)
        bias = ["", "", *node.input[2:]] if node.op_type == "Gemm" and len(node.input) > 2 else []
        return helper.make_node(
            PRODUCT,
            [node.input[0], matrix.values, matrix.scales, *bias],
            node.output,
            name=node.name,
            domain=DOMAIN,
            K=columns,
            N=rows,
            bits=BITS,
            block_size=self.options.block_size,
            accuracy_level=self.options.accuracy_level,
        )

    def _look_up(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield a look-up of rows in blocks [..., blocks, block_size], joined and cut to the table's columns."""
        table, found, indices = _Stored(node.input[0], transposed=False), node.output[0], node.input[1]
        self.stored[table] = None
        columns, size = table.shape(self.weights)[1], self.options.block_size
        padded = -(-columns // size) * size
        start, end, last = (
            self._constant(f"{found}_{name}", value)
            for name, value in (("start", 0), ("end", columns), ("last_axis", -1))
        )
        blocks, scales, joined = (f"{found}_{name}" for name in ("blocks", "scales", "joined"))
        # A tied table has its scales in the shape that the product wants.
        yield helper.make_node("Unsqueeze", [table.scales, last], [scales])
        yield helper.make_node(
            LOOK_UP,
            [table.values, indices, scales],
            [blocks],
            name=node.name,
            domain=DOMAIN,
            bits=BITS,
            block_size=size,
            gather_axis=0,
            quantize_axis=2,
        )
        yield helper.make_node("Shape", [indices], [f"{found}_shape_of_indices"])
        width = self._constant(f"{found}_width", padded)
        yield helper.make_node("Concat", [f"{found}_shape_of_indices", width], [f"{found}_shape"], axis=0)
        yield helper.make_node("Reshape", [blocks, f"{found}_shape"], [joined])
        yield helper.make_node("Slice", [joined, start, end, last], [found])

    def _constant(self, name: str, value: int) -> str:
        self.weights.add(name, np.array([value]))
        return name


def _write(model: onnx.ModelProto, weights: Weights, stored: list[_Stored], path: Path, block_size: int) -> None:
    """Save the graph with the weights that its nodes still read, and with the stored matrices."""
    graph = model.graph
    used = {name for node in nodes(model) for name in node.input} | {output.name for output in graph.output}
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in used)
    # Exporters note the type of weights, too.
    notes = [value for value in graph.value_info if value.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(notes)
    total = sum(matrix.stored_bytes(weights, block_size) for matrix in stored)
    with WeightsWriter(model, path, total) as writer:
        for matrix in stored:
            array = weights[matrix.weight]
            made = quantize_blocks(matrix.weight, array.T if matrix.transposed else array, block_size)
            values = graph.initializer.add(name=matrix.values, data_type=TensorProto.UINT8)
            scales = graph.initializer.add(name=matrix.scales, data_type=TensorProto.FLOAT)
            writer.put(values, made.values)
            writer.put(scales, made.scales)
