"""Says what an ONNX graph stores: which parameter of the source each of its weights holds, and how.

A weight has the name of its parameter, with an ending for what the exporter and the quantizer did (see export.py). A
matrix product reads its weight transposed. The numbers are read by numpy; onnx only parses the graph.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tasks.checkpoint.arrays import Numbers, to_float32
from tasks.checkpoint.embedding import EMBEDDING, HEAD
from tasks.checkpoint.unused import is_unused
from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.onnx.blocks import (
    BITS,
    LOOK_UP,
    PRODUCT,
    SCALES,
    VALUES,
    ZERO_POINT,
    BlockedMatrix,
    dequantize_blocks,
    unsqueezed,
)
from tasks.formats.onnx.epsilons import check_epsilons
from tasks.formats.onnx.export_names import COMPUTED, PREFIX, TRANSPOSED
from tasks.formats.onnx.external_data import nodes, read_graph, text_of
from tasks.formats.onnx.external_data import tensors as tensors_of
from tasks.formats.onnx.inspect import check_blocks
from tasks.formats.onnx.used_names import used_names
from tasks.formats.onnx.weights import Weights
from tasks.formats.stored import FLOAT32, Arithmetic, Content, Grid, Origin, Part, Source, Stored

UNUSED = "the model's code computes it, or only training needs it"
MATRIX = 2
SMALL = 256
"""The most numbers of a constant that belongs to the graph's own arithmetic: a scale, an epsilon, slopes of heads."""

ROWS_AT_ONCE = 1 << 19
"""Numbers that are compared at once."""

DEPENDENT = 2.0**-10
"""Added to the bands of quantized matrices. Scales are float32, but where the source's numbers lie on a coarse grid
themselves, their errors depend on each other, and a row's scale is further from 1 than by independent errors. Measured
on SmolLM2, whose numbers lie on a grid of 16 steps: 0.0008 beyond a row's band, 0.00005 beyond that of a matrix."""

CLIPPED = 1 / ZERO_POINT
"""Added to the bands of matrices in blocks. A block's largest number is 128 steps, and the highest step of the other
sign is 127: a number as large, with the other sign, is stored smaller by this. Where the source's numbers lie on a
coarse grid, there are many. Measured on SmolLM2: the output head has the scale 0.9982."""


CONSTANT = re.compile(
    r".*(inv_freq|\.(bias|mask|masked_bias|embed_positions(\.weights)?|position_ids))"
    r"(\.computed|\.transposed)?(_transposed)?(_Q8|_quantized)?"
)
"""Constants that the model's code computes, and that the graph holds under the name of their buffer; tables of
positions are also quantized."""

PLUS_ONE = re.compile(r"gemma|gemma2|gemma3_text|gemma3|nemotron|qwen3_next")
"""Types of models whose norms multiply by one more than their weight."""

KNOWN = frozenset((
    "bloom", "cohere", "cohere2", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "gpt_neo",
    "gpt_neox", "gptj", "granite", "llama", "mistral", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3",
    "stablelm", "starcoder2",
))  # fmt: skip
"""Types of models of which every constant of the graph is known: those that tests/matrix exports. For another one, the
exporter may compute constants that it names after no parameter, and a norm may have another epsilon than config.json
says, as two of DeepSeek's have."""


def stored_tensors(folder: Path, source: Source, bases: Mapping[str, Path]) -> Content:
    """Return what the graph in `folder` stores.

    Raises Corrupt for a malformed graph, one in another layout, one whose norms have another epsilon, or one with a
    weight that none of its outputs depends on.
    """
    path = folder / "model.onnx"
    model = read_graph(path)
    check_blocks(model)
    weights = Weights(model, folder)
    known = source.analysis.model_type in KNOWN
    if known:
        check_epsilons(model, weights, source.config)
    names = _Names(source)
    quantized = _quantized(model, weights, names)
    helpers = {name for matrix in quantized.values() for name in matrix.helpers}
    used = used_names(model)
    tensors = [_from_nowhere(name, shape) for name, shape in _large_constants(model)]
    for name in weights:
        if name not in used and names.parameter(name):
            raise Corrupt(f"model.onnx: no output depends on the weight {name!r}; {MAKE_AGAIN}.")
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
    return Content(tuple(tensors), dropped, known)


def _large_constants(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield what holds many numbers beside the graph's own initializers, with its shape: the exporter makes none."""
    for tensor in islice(tensors_of(model), len(model.graph.initializer), None):
        if math.prod(tensor.dims) > SMALL:
            yield f"a constant of the graph ({text_of(tensor.name) or 'without a name'})", tuple(tensor.dims)
    for node in nodes(model):
        for attribute in node.attribute:
            if (count := len(attribute.floats)) > SMALL:
                yield f"the attribute {text_of(attribute.name)} of a node {text_of(node.op_type)}", (count,)


def _from_nowhere(name: str, shape: tuple[int, ...]) -> Stored:
    # There is nothing to compare its numbers with, so they are not read.
    matrix = _Matrix(name, "constant", np.broadcast_to(np.float32(np.nan), shape), FLOAT32)
    return Stored(matrix.name, matrix.type, matrix.shape, matrix.grid, matrix.read, None)


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
    """A weight as a matrix [rows, row length].

    name: of the weight, which begins with that of its parameter. values: as stored. turned: whether its rows are the
    columns of its parameter. helpers: the names of its scales and zero points.
    """

    name: str
    type: str
    values: NDArray[Any]
    grid: Grid
    turned: bool = False
    helpers: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        return self.values[first:last].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Scaled(_Matrix):
    """A matrix of integers. scale, zero: of each row [rows, 1], or scalars."""

    scale: NDArray[Any]
    zero: NDArray[Any]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        scale, zero = (each[first:last] if each.ndim else each for each in (self.scale, self.zero))
        numbers = (super().read(first, last) - zero.astype(np.float32)) * scale.astype(np.float32)
        return numbers.astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True)
class _Blocked(_Matrix):
    """A matrix in the layout of blocks.py. values: [rows, blocks, size]; scales: [rows, blocks]."""

    scales: NDArray[np.float32]
    columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.values), self.columns

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        return dequantize_blocks(BlockedMatrix(self.values[first:last], self.scales[first:last]), self.columns)


def _quantized(model: onnx.ModelProto, weights: Weights, names: "_Names") -> Mapping[str, _Matrix]:
    """Return the quantized matrices by the name of their integers."""
    found: dict[str, _Matrix] = {}
    made_of = unsqueezed(model.graph.node)
    for node in model.graph.node:
        inputs = [text_of(name) for name in node.input]
        if node.op_type == PRODUCT:
            columns = next(attribute.i for attribute in node.attribute if attribute.name == "K")
            found[inputs[VALUES]] = _blocked(inputs[VALUES], inputs[SCALES], columns, weights)
        elif node.op_type == LOOK_UP and inputs[0] not in found:
            # The graph cuts what it has looked up. Of a tied table, the product says how many columns count.
            found[inputs[0]] = _blocked(inputs[0], made_of[inputs[SCALES]], names.columns(inputs[0]), weights)
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
    helpers = f"{base}_scale", f"{base}_zero_point"
    transposed = TRANSPOSED in base or base.endswith("_Transposed")
    if scale.size == 1:
        grid = Grid(unit=DEPENDENT, scale=float(scale.reshape(-1)[0]), slack=1.25, row_slack=1.8)
        values = values.T if transposed else values
        scale, zero = scale.reshape(()), zero.reshape(())
        return _Scaled(name, str(values.dtype), values, grid, helpers=helpers, scale=scale, zero=zero)
    # A number of 8 bits with a symmetric scale: steps of the largest number by 127, or 64 in 7 bits.
    grid = Grid(
        unit=DEPENDENT, block=0, steps=127 if int(np.abs(values).max(initial=0)) > 64 else 64, slack=1.25, row_slack=1.8
    )
    scale, zero = scale.reshape(-1, 1), zero.reshape(-1, 1)
    kind = str(values.dtype)
    return _Scaled(name, kind, values.T, grid, turned=not transposed, helpers=helpers, scale=scale, zero=zero)


def _blocked(name: str, scales: str, columns: int | None, weights: Weights) -> _Matrix:
    """A matrix in blocks. columns: those of its rows; None if all numbers of its blocks count."""
    values = np.asarray(weights[name])
    rows, blocks, size = values.shape
    # An output channel is a column of what the graph had, which may itself be the transpose of the parameter.
    turned = name.endswith(f"_transposed_Q{BITS}") != (TRANSPOSED in name)
    grid = Grid(unit=CLIPPED, block=size, steps=ZERO_POINT, slack=1.25, row_slack=1.8, shrink=1)
    return _Blocked(
        name,
        f"uint{BITS} in blocks of {size}",
        values,
        grid,
        turned=turned,
        helpers=(scales,),
        scales=np.asarray(weights[scales]).reshape(rows, blocks),
        columns=min(columns or blocks * size, blocks * size),
    )


def _float(name: str, weights: Weights, names: "_Names") -> list[Stored]:
    """Return a weight in floating point as one tensor; nothing for the graph's own arithmetic."""
    values = np.asarray(weights[name])
    if (values.dtype.kind in "biu" and values.dtype.itemsize > 1) or values.dtype == bool:
        return []
    if values.size <= SMALL and names.parameter(name) is None and not CONSTANT.fullmatch(name):
        return []
    values = values.T if TRANSPOSED in name and values.ndim == MATRIX else values
    rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    return [_stored(_Matrix(name, str(values.dtype), rows, FLOAT32), names)]


def _stored(matrix: _Matrix, names: "_Names") -> Stored:
    parameter = names.parameter(matrix.name)
    origin = None
    if parameter is not None:
        then: Arithmetic = (
            "plus one" if COMPUTED in matrix.name and PLUS_ONE.fullmatch(names.model_type) else "as it is"
        )
        how = "transposed" if TRANSPOSED in matrix.name or matrix.turned else then
        numbers = names.source.tensors[parameter]
        numbers = numbers.seen(numbers.bits.T) if matrix.turned else numbers
        # What is computed from a parameter of another type of model may be anything.
        known = COMPUTED not in matrix.name or then == "plus one" or names.model_type in KNOWN
        origin = Origin((Part(parameter, numbers),), how, then, known=known)
    elif CONSTANT.fullmatch(matrix.name):
        origin = Origin(constant="computed by the model's code from config.json")
    else:
        origin = names.origin_by_numbers(matrix)
    return Stored(matrix.name, matrix.type, matrix.shape, matrix.grid, matrix.read, origin, data=matrix.values)


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

    def origin_by_numbers(self, matrix: _Matrix) -> Origin | None:
        """Return the tensor of the source that has just the numbers of a weight whose name says nothing, or None.

        transformers gives some parameters a name that no checkpoint has: BioGPT's output head.
        """
        if matrix.grid is not FLOAT32:
            return None
        for name, numbers in self.source.tensors.items():
            for seen, how in ((numbers, "as it is"), (numbers.seen(numbers.bits.T), "transposed")):
                if _are_equal(matrix, seen):
                    return Origin((Part(name, seen),), how)
        return None

    def columns(self, name: str) -> int | None:
        """Return the length of the rows of that tensor, or None if there is none."""
        parameter = self.parameter(name)
        return self.source.tensors[parameter].bits.shape[-1] if parameter else None

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


def _are_equal(matrix: _Matrix, numbers: Numbers) -> bool:
    """Return whether a float matrix holds just these numbers, row by row."""
    if numbers.bits.ndim != MATRIX or numbers.bits.shape != matrix.shape:
        return False
    step = max(1, ROWS_AT_ONCE // matrix.shape[1])
    return all(
        np.array_equal(matrix.read(first, first + step), to_float32(numbers.dtype, numbers.bits[first : first + step]))
        for first in range(0, matrix.shape[0], step)
    )
