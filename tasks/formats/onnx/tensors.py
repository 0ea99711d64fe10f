"""Says what an ONNX graph stores: which parameter of the source each of its weights holds, and how.

A weight has the name of its parameter, with an ending for what the exporter and the quantizer did (see export.py). A
matrix product reads its weight transposed. The numbers are read by numpy; onnx only parses the graph.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tasks.checkpoint.embedding import EMBEDDING, HEAD
from tasks.checkpoint.unused import is_unused
from tasks.formats.onnx.export_names import COMPUTED, PREFIX, TRANSPOSED
from tasks.formats.onnx.external_data import read_graph, text_of
from tasks.formats.onnx.weights import Weights
from tasks.formats.stored import FLOAT32, Arithmetic, Content, Grid, Origin, Part, Source, Stored

UNUSED = "the model's code computes it, or only training needs it"
MATRIX = 2
SMALL = 256
"""The most numbers of a constant that belongs to the graph's own arithmetic: a scale, an epsilon, slopes of heads."""

DEPENDENT = 2.0**-10
"""Added to the bands of quantized matrices. Scales are float32, but where the source's numbers lie on a coarse grid
themselves, their errors depend on each other, and a row's scale is further from 1 than by independent errors. Measured
on SmolLM2, whose numbers lie on a grid of 16 steps: 0.0008 beyond a row's band, 0.00005 beyond that of a matrix."""

CONSTANT = re.compile(r".*(inv_freq|\.(bias|mask|masked_bias|embed_positions|position_ids))(\.computed|\.transposed)?")
"""Constants that the model's code computes, and that the graph holds under the name of their buffer."""

PLUS_ONE = re.compile(r"gemma|gemma2|gemma3_text|gemma3|qwen3_next")
"""Types of models whose norms multiply by one more than their weight."""


def stored_tensors(folder: Path, source: Source, bases: Mapping[str, Path]) -> Content:
    """Return what the graph in `folder` stores. Raises Corrupt for a malformed graph."""
    path = folder / "model.onnx"
    model = read_graph(path)
    weights = Weights(model, folder)
    names = _Names(source)
    quantized = _quantized(model, weights)
    helpers = {name for matrix in quantized.values() for name in matrix.helpers}
    tensors = []
    for name in weights:
        if name in quantized:
            tensors.append(_stored(quantized[name], names))
        elif name not in helpers:
            tensors += _float(name, weights, names)
    dropped = {name: UNUSED for name, numbers in source.tensors.items() if is_unused(name, numbers.bits.shape)}
    held = {part.source for stored in tensors if stored.origin for part in stored.origin.parts}
    for name in source.tensors:
        if name not in held and source.analysis.tied_embeddings and (HEAD.fullmatch(name) or EMBEDDING.fullmatch(name)):
            dropped[name] = "config.json ties the output head to the token embedding"
    for name, numbers in source.tensors.items():
        if name not in held and name.endswith("bias") and not numbers.bits.any():
            dropped[name] = "a bias of zeros, which the exporter leaves out"
    for name in source.tensors:
        if name not in held and name not in dropped and (twin := _twin(name, held, source)):
            dropped[name] = f"the same numbers as {twin}, which the graph holds once for both"
    return Content(tuple(tensors), dropped)


def _twin(name: str, held: set[str], source: Source) -> str | None:
    """Return a stored tensor with the same shape and bits, or None: the exporter keeps equal constants once."""
    numbers = source.tensors[name]
    for other in sorted(held):
        known = source.tensors[other]
        alike = (known.dtype, known.bits.shape) == (numbers.dtype, numbers.bits.shape)
        if alike and np.array_equal(known.bits, numbers.bits):
            return other
    return None


@dataclass(frozen=True)
class _Matrix:
    """A weight as rows that share scales: [rows, row length], of the source's order of dimensions.

    values: as stored, integers or floats. scale, zero: for each block of a row [rows, blocks], or scalars.
    name: of the weight; parameter: the beginning of its name. helpers: the names of its scales and zero points.
    """

    name: str
    type: str
    values: NDArray[Any]
    grid: Grid
    scale: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None
    helpers: tuple[str, ...] = ()
    bits: int = 8

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[0], self.values.shape[1] * (8 // self.bits)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        values = self.values[first:last]
        if self.scale is None:
            return values.astype(np.float32)
        if self.bits == 4:
            # The first of two numbers is in the low half of its byte.
            values = np.stack((values & 15, values >> 4), -1).reshape(len(values), -1)
        scale = self.scale[first:last] if self.scale.ndim else self.scale
        zero = np.asarray(0 if self.zero is None else self.zero)
        zero = zero[first:last] if zero.ndim else zero
        blocks = values.reshape(len(values), scale.shape[-1] if scale.ndim else 1, -1)
        numbers = (blocks.astype(np.float32) - _each(zero)) * _each(scale)
        return numbers.reshape(len(values), -1).astype(np.float32, copy=False)


def _each(of_blocks: NDArray[Any]) -> NDArray[np.float32]:
    return of_blocks.astype(np.float32)[..., None] if of_blocks.ndim else of_blocks.astype(np.float32)


def _quantized(model: onnx.ModelProto, weights: Weights) -> Mapping[str, _Matrix]:
    """Return the quantized matrices by the name of their integers."""
    found: dict[str, _Matrix] = {}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            matrix = _of_blocks(node, weights)
            found[matrix.name] = matrix
        elif node.op_type == "GatherBlockQuantized":
            matrix = _table_of_blocks(node, weights)
            found[matrix.name] = matrix
    for name in weights:
        base = name.removesuffix("_quantized")
        if base != name and f"{base}_scale" in weights and name not in found:
            found[name] = _scaled(name, base, weights)
    return found


def _scaled(name: str, base: str, weights: Weights) -> _Matrix:
    """A matrix with one scale for each column (output channel), or for all."""
    scale = np.asarray(weights[f"{base}_scale"])
    zero = np.asarray(weights[f"{base}_zero_point"])
    values = np.asarray(weights[name])
    transposed = TRANSPOSED in base or base.endswith("_Transposed")
    if scale.size == 1:
        grid = Grid(unit=DEPENDENT, scale=float(scale.reshape(-1)[0]), slack=1.25, row_slack=1.8)
        values = values.T if transposed else values
        return _Matrix(name, _type(values), values, grid, scale.reshape(()), zero.reshape(()), _helpers(base))
    # A number of 8 bits with a symmetric scale: steps of the largest number by 127, or 64 in 7 bits.
    grid = Grid(
        unit=DEPENDENT, block=0, steps=127 if int(np.abs(values).max(initial=0)) > 64 else 64, slack=1.25, row_slack=1.8
    )
    by_row = values.T
    return _Matrix(name, _type(values), by_row, grid, scale.reshape(-1, 1), zero.reshape(-1, 1), _helpers(base))


def _helpers(base: str) -> tuple[str, ...]:
    return f"{base}_scale", f"{base}_zero_point"


def _of_blocks(node: onnx.NodeProto, weights: Weights) -> _Matrix:
    """The weight of a MatMulNBits: for each output channel, blocks of unsigned numbers with a scale each."""
    facts = {text_of(attribute.name): attribute.i for attribute in node.attribute}
    name, scales, *rest = (text_of(entry) for entry in list(node.input)[1:4])
    bits, block, rows = facts["bits"], facts["block_size"], facts["N"]
    values = np.asarray(weights[name]).reshape(rows, -1)
    scale = np.asarray(weights[scales]).reshape(rows, -1)
    zero = _zero_points(weights, rest, bits, scale)
    grid = _block_grid(block, bits, has_zero_points=zero.ndim > 0)
    return _Matrix(name, f"uint{bits} in blocks of {block}", values, grid, scale, zero, (scales, *rest), bits)


def _table_of_blocks(node: onnx.NodeProto, weights: Weights) -> _Matrix:
    """The table of a GatherBlockQuantized: rows in blocks with a scale each."""
    facts = {text_of(attribute.name): attribute.i for attribute in node.attribute}
    name, scales = text_of(node.input[0]), text_of(node.input[2])
    rest = [text_of(entry) for entry in list(node.input)[3:4] if entry]
    bits, block = facts.get("bits", 4), facts.get("block_size", 128)
    values = np.asarray(weights[name])
    scale = np.asarray(weights[scales])
    signed = values.dtype.kind == "i"
    zero = np.zeros(()) if signed and not rest else _zero_points(weights, rest, bits, scale)
    grid = _block_grid(block, bits, has_zero_points=zero.ndim > 0)
    packed = bits if values.shape[-1] * (8 // bits) // scale.shape[-1] == block else 8
    return _Matrix(name, f"{values.dtype} in blocks of {block}", values, grid, scale, zero, (scales, *rest), packed)


def _block_grid(block: int, bits: int, has_zero_points: bool) -> Grid:
    """Return how blocks of unsigned numbers round: around the middle, or between the block's ends."""
    if has_zero_points:
        return Grid(unit=DEPENDENT, block=block, span="range", steps=2**bits - 1, slack=1.25, row_slack=1.8, shrink=1)
    return Grid(unit=DEPENDENT, block=block, steps=2 ** (bits - 1), slack=1.25, row_slack=1.8, shrink=1)


def _zero_points(weights: Weights, names: list[str], bits: int, scale: NDArray[Any]) -> NDArray[Any]:
    """Return the zero points of all blocks, in the shape of the scales; a scalar where the graph gives none."""
    given = [name for name in names if name]
    if not given:
        return np.asarray(2 ** (bits - 1))
    zero = np.asarray(weights[given[0]])
    if bits == 4:
        zero = zero.reshape(len(scale), -1)
        zero = np.stack((zero & 15, zero >> 4), -1).reshape(len(scale), -1)[:, : scale.shape[-1]]
    return zero.reshape(scale.shape)


def _float(name: str, weights: Weights, names: "_Names") -> list[Stored]:
    """Return a weight in floating point as one tensor; nothing for the graph's own arithmetic."""
    values = np.asarray(weights[name])
    if values.dtype.kind != "f":
        return []
    parameter = names.parameter(name)
    if parameter is None and (values.size <= SMALL or CONSTANT.fullmatch(name)):
        if values.size <= SMALL and not CONSTANT.fullmatch(name):
            return []
        return [_constant(name, values)]
    values = values.T if TRANSPOSED in name and values.ndim == MATRIX else values
    matrix = _Matrix(name, _type(values), values.reshape(-1, values.shape[-1] if values.ndim else 1), FLOAT32)
    return [_stored(matrix, names)]


def _constant(name: str, values: NDArray[Any]) -> Stored:
    matrix = _Matrix(name, _type(values), values.reshape(-1, values.shape[-1] if values.ndim else 1), FLOAT32)
    origin = Origin(constant="computed by the model's code from config.json")
    return Stored(name, matrix.type, matrix.shape, matrix.grid, matrix.read, origin)


def _stored(matrix: _Matrix, names: "_Names") -> Stored:
    parameter = names.parameter(matrix.name)
    origin = None
    if parameter is not None:
        then: Arithmetic = (
            "plus one" if COMPUTED in matrix.name and PLUS_ONE.fullmatch(names.model_type) else "as it is"
        )
        how = "transposed" if TRANSPOSED in matrix.name else "as it is" if then == "as it is" else then
        origin = Origin((Part(parameter, names.source.tensors[parameter]),), how, then)
    return Stored(matrix.name, matrix.type, matrix.shape, matrix.grid, matrix.read, origin, data=matrix.values)


def _type(values: NDArray[Any]) -> str:
    return str(values.dtype)


class _Names:
    """Finds the source's tensor of a weight's name. Checkpoints may leave out the name of the model below its head."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model_type = source.analysis.model_type
        self._whole = dict.fromkeys(source.tensors)
        self._short = {name.partition(".")[2]: name for name in source.tensors}

    def parameter(self, name: str) -> str | None:
        """Return the source's tensor whose name a weight's name begins with, or None."""
        name = name.removeprefix(PREFIX)
        while name:
            if found := self._exact(name):
                return found
            name = re.sub(r"[._][^._]*$", "", name) if re.search(r"[._]", name) else ""
        return None

    def _exact(self, name: str) -> str | None:
        if name in self._whole:
            return name
        if name in self._short:
            return self._short[name]
        without = name.partition(".")[2]
        if without in self._whole:
            return without
        heads = [other for other in self._whole if HEAD.fullmatch(other)]
        if HEAD.fullmatch(name) and len(heads) == 1:
            # transformers calls every head lm_head; older checkpoints have other names for it.
            return heads[0]
        if self.source.analysis.tied_embeddings and (HEAD.fullmatch(name) or EMBEDDING.fullmatch(name)):
            for other in self._whole:
                if EMBEDDING.fullmatch(other) or HEAD.fullmatch(other):
                    return other
        return None
