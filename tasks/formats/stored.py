"""What a file stores: its tensors, how their type rounds, and which numbers of the source each of them holds.

A format describes its files in these terms (see `Format.tensors`), and tasks/integrity compares them with the source.
It imports no engine and no format.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.arrays import Numbers, to_float32

Floats = NDArray[np.float32]


Weighting = Literal["magnitude", "magnitude and mean", "square", "importance"]
"""How a quantizer weights the squared error of a number x: by |x|; by |x| and the root of the block's mean square; by
x^2; or by its column's importance times the root of the row's mean square and x^2."""


@dataclass(frozen=True)
class Grid:
    """How a stored type rounds: what error it costs to store a number, by the type's own arithmetic.

    A float rounds each number by itself: `unit` is its largest relative error, and `tiny` its largest absolute error
    near zero. A quantized type gives `block` neighbouring numbers of a row one scale, which is the block's `span` by
    `steps`; it rounds to multiples of the scale, so its error is about uniform, as wide as the scale.

    unit: half the distance between neighbouring numbers, relative to them; 0 for a type without a mantissa of its own.
    tiny: half the distance between the numbers around zero.
    block: how many numbers of a row share a scale; None for a float, 0 for a whole row.
    scale: the scale itself, where the file has one for all rows. Then `block`, `span` and `steps` do not count.
    span: "largest" for the largest absolute number of the block; "range" from its lowest to its highest number; with a
        `weighting`, 0 is between them.
    steps: how many scales a span has.
    one_sided: whether the highest multiple of the scale is `steps` less 1. The largest number of a block is then
        exact, and one as large of the other sign is not.
    multiple: for a scale that is stored in float16, or is itself a multiple of a number in float16: the largest
        multiple of that float16 that a stored number can be. 0 for a scale in float32, which resolves any number.
    together: how many numbers of a row share that float16, if they are more than a block.
    slack: by how much the error of a tensor may exceed the expected one. It covers scales that are rounded
        themselves, and errors that are traded for those of more important numbers.
    row_slack: the same for one row.
    shrink: by how much the slope of the regression on the source may differ from the expected one, as a multiple
        of the expected relative squared error.
    weighting: for a type whose quantizer chooses scales with the least weighted squared error: how it weights the
        errors. The *balance* is checked then, and not the slope; see tasks/integrity/bands.py.
    balance, balance_band, row_balance_band: the balance of a right tensor, and how far that of a tensor and of a row
        may be from it.
    """

    unit: float = 0.0
    tiny: float = 0.0
    block: int | None = None
    scale: float | None = None
    span: Literal["largest", "range"] = "largest"
    steps: float = 1.0
    one_sided: bool = False
    multiple: float = 0.0
    together: int = 0
    slack: float = 1.0
    row_slack: float = 1.0
    shrink: float = 0.0
    weighting: Weighting | None = None
    balance: float = 1.0
    balance_band: float = 0.0
    row_balance_band: float = 0.0


EXACT = Grid()
"""A type that holds each number of its source as it is, such as float32."""

FLOAT32 = Grid(unit=2.0**-24, tiny=2.0**-150)
FLOAT16 = Grid(unit=2.0**-11, tiny=2.0**-25)
BFLOAT16 = Grid(unit=2.0**-8, tiny=2.0**-134)
"""Significands of 24, 11 and 8 bits (IEEE 754; bfloat16 is the upper half of a float32)."""


@dataclass(frozen=True)
class Part:
    """Numbers of one source tensor, in the order in which the file stores them."""

    source: str
    numbers: Numbers


Arithmetic = Literal["as it is", "plus one", "minus its exponential"]


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a stored tensor come from.

    parts: the source's numbers, one part after the other; empty for a constant.
    how: what was done with them, in words: "renamed", "transposed", ...
    then: what is computed from each number before it is stored.
    constant: for a tensor that holds no numbers of the source: what it is, in words.
    known: whether the conversion of this architecture is known. If it is not, a tensor that differs from the source
        is not called wrong: it is reported as not compared.
    """

    parts: tuple[Part, ...] = ()
    how: str = "as it is"
    then: Arithmetic = "as it is"
    constant: str | None = None
    known: bool = True


@dataclass(frozen=True)
class Stored:
    """One tensor of a file.

    shape: rows are the last dimension; the numbers of a block share a row.
    read: returns the rows [first, last) of the tensor, seen as a matrix, as float32 [last - first, row length].
    importance: of each column, float32 [row length] or [matrices, row length] for several matrices in one tensor; None
        if the quantizer was given none.
    data: the array in which the file is mapped, if it is; see tasks.checkpoint.arrays.forget.
    origin: where its numbers come from; None if nothing explains it.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid
    read: Callable[[int, int], Floats]
    origin: Origin | None
    importance: Floats | None = None
    data: NDArray[Any] | None = None

    @property
    def row(self) -> int:
        """The length of a row."""
        return self.shape[-1] if self.shape else 1


@dataclass(frozen=True)
class Source:
    """What a file was made from: the tensors of the snapshot, its config.json, and its analysis."""

    tensors: Mapping[str, Numbers]
    config: Mapping[str, Any]
    analysis: Analysis


@dataclass(frozen=True)
class Content:
    """All that a file stores, and what it leaves out.

    dropped: tensors of the source, or rows of them, that the file leaves out on purpose, with the reason.
    known: whether the conversion of this architecture is known. If it is not, a tensor that nothing explains is
        reported as not compared.
    """

    tensors: tuple[Stored, ...]
    dropped: Mapping[str, str]
    known: bool = True


def in_float(name: str, numbers: Numbers, origin: Origin | None) -> Stored:
    """Return a tensor that a file holds as plain numbers, as safetensors does."""
    shape = numbers.bits.shape
    matrix = numbers.bits.reshape(-1, shape[-1] if shape else 1)

    def read(first: int, last: int) -> Floats:
        return to_float32(numbers.dtype, matrix[first:last])

    grid = {"F32": FLOAT32, "F16": FLOAT16, "BF16": BFLOAT16}.get(numbers.dtype, EXACT)
    return Stored(name, numbers.dtype, shape, grid, read, origin, data=numbers.bits)
