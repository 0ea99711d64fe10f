"""Reads the source's numbers in the order in which a file stores them, a piece at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.arrays import to_float32
from tasks.formats.stored import Arithmetic, Floats, Origin

PIECE = 1 << 19
"""Numbers that are compared at once, if a row is not longer: 2 MiB in float32, which fits a processor's cache."""


KEPT = 1 << 26
"""Numbers after which the memory of the mapped files is given back."""


def expected_rows(origin: Origin, row: int) -> Iterator[Floats]:
    """Yield the numbers that should be stored, in order, as rows of `row` numbers: float32 [rows, row]."""
    left = np.empty(0, np.float32)
    for part in origin.parts:
        for bits in _pieces(part.numbers.bits):
            numbers = _computed(origin.then, to_float32(part.numbers.dtype, bits))
            # A piece may end within a row, if the source's rows have another length.
            numbers = np.concatenate((left, numbers)) if left.size else numbers
            whole = len(numbers) // row * row
            if whole:
                yield numbers[:whole].reshape(-1, row)
            left = numbers[whole:]


def _computed(then: Arithmetic, numbers: Floats) -> Floats:
    if then == "plus one":
        return numbers + np.float32(1)
    if then == "minus its exponential":
        return -np.exp(numbers)
    return numbers


def _pieces(bits: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array's elements in order, flat, about PIECE at once. The array may be a strided view of a file."""
    if bits.size <= PIECE or bits.ndim == 0:
        yield bits.reshape(-1)
        return
    inner = bits.size // bits.shape[0]
    if inner > PIECE:
        for part in bits:
            yield from _pieces(part)
        return
    step = PIECE // inner
    for first in range(0, bits.shape[0], step):
        yield bits[first : first + step].reshape(-1)
