"""Files and sources of a few tensors, made in memory."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.arrays import Numbers
from tasks.formats.stored import BFLOAT16, FLOAT16, Content, Floats, Grid, Origin, Part, Source, Stored
from tests.tasks.formats.analyses import analysis_with

NINE_BITS = Grid(unit=2.0**-11, block=32, steps=127, slack=1.25, row_slack=3.5)
"""Like eight bits and a sign: multiples of the block's largest number by 127."""


def numbers_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Numbers]:
    return {name: Numbers("F32", array.astype(np.float32)) for name, array in arrays.items()}


def source_of(arrays: Mapping[str, NDArray[Any]]) -> Source:
    return Source(numbers_of(arrays), {}, analysis_with())


def layers(seed: int = 0, count: int = 2, size: int = 64) -> dict[str, NDArray[Any]]:
    """Return square matrices, so that a transposed one has the right shape, and a vector each."""
    random = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for layer in range(count):
        for name in ("up", "down"):
            found[f"{layer}.{name}"] = random.normal(0, 0.02, (size, size)).astype(np.float32)
        found[f"{layer}.norm"] = random.normal(1, 0.1, size).astype(np.float32)
    return found


def rounded(array: NDArray[Any], grid: Grid) -> Floats:
    """Return an array as a type stores it: NINE_BITS by its blocks, all others as float16."""
    if grid is not NINE_BITS or array.ndim < 2:
        return array.astype(np.float16).astype(np.float32)
    blocks = array.reshape(-1, 32)
    scale = (np.abs(blocks).max(-1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    found: Floats = (np.round(blocks / np.where(scale == 0, 1, scale)) * scale).reshape(array.shape).astype(np.float32)
    return found


def stored(name: str, array: Floats, grid: Grid, source: Source, known: bool = True) -> Stored:
    """Return a tensor of a file that should hold the source's tensor of that name."""
    matrix = array.reshape(-1, array.shape[-1])
    origin = Origin((Part(name, source.tensors[name]),), known=known) if name in source.tensors else None
    kept = grid if array.ndim > 1 or grid in (FLOAT16, BFLOAT16) else FLOAT16
    return Stored(name, "toy", array.shape, kept, lambda first, last: matrix[first:last], origin)


def content_of(arrays: Mapping[str, NDArray[Any]], source: Source, grid: Grid = FLOAT16) -> Content:
    """Return a file with these arrays, as the grid rounds them."""
    return Content(tuple(stored(name, rounded(array, grid), grid, source) for name, array in arrays.items()), {})


def changed(content: Content, name: str, array: Floats) -> Content:
    """Return the file with other numbers in one tensor."""
    matrix = array.reshape(-1, array.shape[-1])
    return Content(
        tuple(
            replace(tensor, read=lambda first, last: matrix[first:last]) if tensor.name == name else tensor
            for tensor in content.tensors
        ),
        content.dropped,
    )
