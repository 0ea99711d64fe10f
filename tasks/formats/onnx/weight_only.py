"""Quantizes the weights of an exported graph to 8 bits in blocks, and leaves the activations as they are.

onnxruntime's quantizer of whole graphs keeps several copies of the graph in memory, does not see a tied output head, and
has no 8 bits for embedding tables. So the graph is rewritten here, and onnxruntime quantizes the numbers, some rows at a
time (blocks.py):

- A product with a constant becomes MatMulNBits, with the constant's columns as rows.
- A look-up in a table becomes GatherBlockQuantized. Only the rows that are looked up are dequantized.
- A tied table is stored once, for the look-up and for the output head.
"""

from collections.abc import Iterator, Sequence
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
from tasks.formats.onnx.target import Int8Options
from tasks.formats.onnx.weights import MATRIX_DIMENSIONS, Weights, WeightsWriter

SUFFIXES = ("_Q8", "_scales")


@dataclass(frozen=True)
class Stored:
    """A matrix as it will be stored: the rows of a weight of the fp32 graph, or its columns if it is `transposed`."""

    weight: str
    transposed: bool

    @property
    def names(self) -> tuple[str, str]:
        """The names of its values and of its scales in the new graph."""
        name = f"{self.weight}_transposed" if self.transposed else self.weight
        return f"{name}{SUFFIXES[0]}", f"{name}{SUFFIXES[1]}"


def quantize_weights(base: Path, path: Path, options: Int8Options) -> int:
    """Write the graph of `base` with quantized weights to `path`. Return the number of quantized products.

    Raises Corrupt, with the matrix's name, if a number in a matrix is not finite.
    """
    model = read_graph(base)
    weights = Weights(model, base.parent)
    rewriting = _Rewriting(weights, options)
    rewritten = [made for node in rewriting.without_transposes(model.graph.node) for made in rewriting.node(node)]
    del model.graph.node[:]
    model.graph.node.extend(rewritten)
    _write(model, weights, rewriting.stored, path, options.block_size)
    return sum(node.op_type == PRODUCT for node in rewritten)


@dataclass
class _Rewriting:
    """The rewriting of one graph's nodes. `stored` collects the matrices that the new nodes read, in their order."""

    weights: Weights
    options: Int8Options
    stored: dict[Stored, None] = field(default_factory=dict)
    turned: dict[str, str] = field(default_factory=dict)

    def without_transposes(self, found: Sequence[NodeProto]) -> list[NodeProto]:
        """Return the nodes without transposes of a matrix that is then only multiplied; note what they transpose."""
        taken = {(name, node.op_type, place) for node in found for place, name in enumerate(node.input)}
        kept = []
        for node in found:
            uses = {(kind, place) for name, kind, place in taken if node.op_type == "Transpose" and name == node.output[0]}
            if uses == {("MatMul", 1)} and self._is_matrix(node.input[0]):
                self.turned[node.output[0]] = node.input[0]
            else:
                kept.append(node)
        return kept

    def node(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield what replaces a node: itself, if it reads no matrix as a product or a look-up does."""
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "MatMul" and (matrix := self._operand(node.input[1], transposed=False)):
            yield self._product(node, matrix, [])
        elif node.op_type == "Gemm" and (matrix := self._operand(node.input[1], bool(settings.get("transB")))):
            bias = [node.input[2]] if len(node.input) > 2 else []
            yield self._product(node, matrix, bias)
        elif node.op_type == "Gather" and self._is_matrix(node.input[0]) and not settings.get("axis"):
            yield from self._look_up(node)
        else:
            yield node

    def _operand(self, name: str, transposed: bool) -> Stored | None:
        """Return how the right operand of a product is stored: by its columns, unless the product transposes it."""
        if name in self.turned:
            return Stored(self.turned[name], transposed=transposed)
        return Stored(name, transposed=not transposed) if self._is_matrix(name) else None

    def _is_matrix(self, name: str) -> bool:
        return self.weights.is_matrix(name)

    def _product(self, node: NodeProto, matrix: Stored, bias: list[str]) -> NodeProto:
        self.stored[matrix] = None
        shape = self.weights.shape(matrix.weight)
        columns, rows = shape if matrix.transposed else shape[::-1]
        return helper.make_node(
            PRODUCT,
            [node.input[0], *matrix.names, *(["", "", *bias] if bias else [])],
            node.output,
            name=f"{node.name}{SUFFIXES[0]}",
            domain=DOMAIN,
            K=columns,
            N=rows,
            bits=BITS,
            block_size=self.options.block_size,
            accuracy_level=self.options.accuracy_level,
        )

    def _look_up(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield a look-up of whole blocks [..., blocks, block_size], joined and cut to the table's columns."""
        table = Stored(node.input[0], transposed=False)
        self.stored[table] = None
        values, scales = table.names
        _, columns = self.weights.shape(table.weight)
        found, indices = node.output[0], node.input[1]
        size = self.options.block_size
        blocks = -(-columns // size)
        one, width, last = (f"{found}_{what}" for what in ("one", "width", "last"))
        for name, number in ((one, 1), (width, blocks * size), (last, -1)):
            self.weights.add(name, np.array([number if name != last else -1]))
        yield helper.make_node("Unsqueeze", [scales, last], [f"{found}_by_block"])
        yield helper.make_node(
            LOOK_UP,
            [values, indices, f"{found}_by_block"],
            [f"{found}_blocks"],
            name=f"{node.name}{SUFFIXES[0]}",
            domain=DOMAIN,
            bits=BITS,
            block_size=size,
            gather_axis=0,
            quantize_axis=2,
        )
        yield helper.make_node("Shape", [indices], [f"{found}_indices"])
        yield helper.make_node("Concat", [f"{found}_indices", width], [f"{found}_shape"], axis=0)
        padded = blocks * size != columns
        yield helper.make_node("Reshape", [f"{found}_blocks", f"{found}_shape"], [f"{found}_padded" if padded else found])
        if padded:
            zero, end = f"{found}_zero", f"{found}_columns"
            self.weights.add(zero, np.array([0]))
            self.weights.add(end, np.array([columns]))
            yield helper.make_node("Slice", [f"{found}_padded", zero, end, last], [found])


def _write(model: Any, weights: Weights, stored: dict[Stored, None], path: Path, size: int) -> None:
    graph = model.graph
    used = {name for node in nodes(model) for name in node.input} | {output.name for output in graph.output}
    del graph.initializer[:]
    for name in (name for name in weights if name in used):
        graph.initializer.append(numpy_helper.from_array(weights[name], name))
    model.opset_import.add(domain=DOMAIN, version=1)
    known = [value for value in graph.value_info if value.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(known)
    total = sum(int(np.prod(weights.shape(matrix.weight))) for matrix in stored)
    with WeightsWriter(model, path, total) as writer:
        for matrix in stored:
            array = weights[matrix.weight]
            made = quantize_blocks(matrix.weight, array.T if matrix.transposed else array, size)
            for name, new in zip(matrix.names, (made.values, made.scales), strict=True):
                kind = TensorProto.UINT8 if new.dtype == np.uint8 else TensorProto.FLOAT
                writer.put(graph.initializer.add(name=name, data_type=kind), new)
