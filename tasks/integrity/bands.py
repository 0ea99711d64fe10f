"""How far a stored tensor may be from its source: the bands that follow from the arithmetic of its type.

Let x be the numbers of the source, as they should be stored, and y the stored ones.

The *relative error* is the root of the sum of (y - x)^2 by the sum of x^2. Its expectation follows from the source
alone, block by block: a uniform error as wide as the scale s has the variance s^2 / 12. The band is `slack` times the
root of these variances' sum, and the rounding of the type's own floats.

The *slope* is that of the regression of y on x through the origin, the sum of xy by the sum of x^2. For errors that do
not depend on x it is 1, and its variance is the sum of x^2 s^2 / 12 by the squared sum of x^2. The band is `shrink`
times the expected share of the error (for a row, ROW_SHRINK times that), DEVIATIONS standard errors, and the rounding
of floats.

A quantizer that searches for the scale with the least squared error shrinks its numbers, and the more so the coarser
it is; with an importance matrix, also those of unimportant columns. Its slope says little about a wrong scale. But its
own choice of a scale fulfils a condition, block by block: the sum of w x y equals that of w y^2, where w are its
weights, because there the derivative of the sum of w (x - y)^2 by the scale is 0. The quotient of the two sums is the
*balance*. It does not depend on the numbers, and its inverse is checked in place of the slope. Both are called the
*scale*.

All are checked for the tensor and for each of its rows. tests/tasks/integrity/test_bands.py checks the bands on random
normal and heavy-tailed numbers; docs/integrity.md gives what was measured.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats.stored import Floats, Grid

Sums = NDArray[np.float64]

DEVIATIONS = 6.0
"""Standard errors of a slope that are allowed. By chance, one row of 500 million is outside."""

ROW_SHRINK = 3.0
"""Rows differ more from each other than tensors do."""

SUMS = ("squares", "cross", "errors", "expected", "spread", "mixed", "own")
"""The sums of Moments, in their order."""


@dataclass(frozen=True)
class Moments:
    """Sums over the numbers of each row, float64 [rows].

    count: numbers in a row. squares: x^2. cross: x (y - x). errors: (y - x)^2. expected: the expected errors.
    spread: x^2 times the expected variance of its error. mixed, own: w x y and w y^2, with the quantizer's weights.
    """

    count: int
    squares: Sums
    cross: Sums
    errors: Sums
    expected: Sums
    spread: Sums
    mixed: Sums
    own: Sums

    def total(self) -> "Moments":
        """Return the sums over all rows, as those of one row."""
        sums = (np.array([getattr(self, name).sum()]) for name in SUMS)
        return Moments(self.count * len(self.squares), *sums)

    @property
    def error(self) -> Sums:
        """The relative error; infinite where zeros are stored as other numbers."""
        return _ratio(np.sqrt(self.errors), np.sqrt(self.squares))

    @property
    def slope(self) -> Sums:
        """The slope; 1 where the source has only zeros."""
        return 1 + np.where(self.squares > 0, _ratio(self.cross, self.squares), 0.0)

    @property
    def balance(self) -> Sums:
        """The balance; 0 where everything is stored as 0."""
        return np.where(self.own > 0, _ratio(self.mixed, self.own), 0.0)


def moments(source: Floats, stored: Floats, grid: Grid, importance: Floats | None = None) -> Moments:
    """Return the sums for some rows, [rows, row length] both.

    importance: of the columns, for a grid that is weighted by it; float32 [row length] or [rows, row length].
    """
    difference = stored - source
    squares = _dot(source, source)
    expected, spread = _expected(source, squares, grid)
    mixed = own = np.zeros_like(squares)
    if grid.weighting is not None:
        weighted = _weights(source, squares, grid, importance) * stored
        mixed, own = _dot(weighted, source), _dot(weighted, stored)
    cross, errors = _dot(source, difference), _dot(difference, difference)
    return Moments(source.shape[1], squares, cross, errors, expected, spread, mixed, own)


def same(source: Floats) -> Moments:
    """Return the sums for rows that are stored as they are."""
    squares = _dot(source, source)
    none = np.zeros_like(squares)
    return Moments(source.shape[1], squares, none, none, none, none, squares, squares)


def allowed_error(found: Moments, grid: Grid, slack: float) -> Sums:
    """Return the largest relative error of each row; 0 where the source has only zeros, which every type holds."""
    rounding = grid.unit * np.sqrt(found.squares) + grid.tiny * np.sqrt(found.count)
    allowed = _ratio(slack * np.sqrt(found.expected) + rounding, np.sqrt(found.squares))
    return np.where(found.squares > 0, allowed, 0.0)


def scales(found: Moments, grid: Grid) -> Sums:
    """Return by how much the numbers of each row look scaled: the slope, or the inverse of the balance."""
    if grid.weighting is None:
        return found.slope
    # Zeros are stored as zeros; a row of other numbers that is stored as zeros has the scale 0.
    return np.where(found.own > 0, _ratio(np.full(1, grid.balance), found.balance), found.squares == 0).astype(
        np.float64
    )


def allowed_scale(found: Moments, grid: Grid, shrink: float, balance_band: float) -> Sums:
    """Return the largest distance of each row's scale from 1."""
    if grid.weighting is not None:
        return np.full(len(found.squares), balance_band)
    shrunk = shrink * _ratio(found.expected, found.squares)
    chance = DEVIATIONS * _ratio(np.sqrt(found.spread), found.squares)
    near_zero = _ratio(np.full(1, grid.tiny * np.sqrt(found.count)), np.sqrt(found.squares))
    return shrunk + chance + grid.unit + near_zero


def _expected(source: Floats, squares: Sums, grid: Grid) -> tuple[Sums, Sums]:
    """Return each row's expected sum of squared errors, and the sum of x^2 times the variance of its error."""
    length = source.shape[1]
    if grid.scale is not None:
        variance = grid.scale**2 / 12
        return np.full(len(source), length * variance), squares * variance
    if grid.block is None:
        return np.zeros(len(source)), np.zeros(len(source))
    block = grid.block or length
    blocks = _blocks(source, block)
    high, low = blocks.max(-1), blocks.min(-1)
    # Quantizers with a lowest number and a scale keep zero inside the span.
    span = np.maximum(high, -low) if grid.span == "largest" else np.maximum(high, 0) - np.minimum(low, 0)
    variances = np.square(span.astype(np.float64) / grid.steps) / 12
    energies = np.einsum("rbn,rbn->rb", blocks, blocks)
    counts = np.full(blocks.shape[1], block)
    counts[-1] -= blocks.shape[1] * block - length
    return (counts * variances).sum(-1), (variances * energies).sum(-1)


def _weights(source: Floats, squares: Sums, grid: Grid, importance: Floats | None) -> Floats:
    """Return the weight that the quantizer gives to the error of each number, up to a factor."""
    if grid.weighting == "square":
        return np.square(source)
    if grid.weighting == "magnitude":
        return np.abs(source)
    if grid.weighting == "magnitude and mean":
        blocks = _blocks(source, grid.block or source.shape[1])
        means = np.sqrt(np.einsum("rbn,rbn->rb", blocks, blocks) / np.float32(blocks.shape[-1]))
        summed: Floats = np.abs(blocks) + means[..., None]
        return summed.reshape(len(source), -1)[:, : source.shape[1]]
    mean = (squares / source.shape[1]).astype(np.float32)[:, None]
    weights: Floats = np.sqrt(np.square(source) + mean)
    return weights if importance is None else weights * importance


def _blocks(source: Floats, block: int) -> Floats:
    """Return rows as blocks, [rows, blocks, block]. The last block of a row is filled up with zeros."""
    beyond = -source.shape[1] % block
    filled = np.pad(source, ((0, 0), (0, beyond))) if beyond else source
    return filled.reshape(len(source), -1, block)


def _dot(one: Floats, other: Floats) -> Sums:
    products: Floats = np.einsum("rn,rn->r", one, other)
    return products.astype(np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Sums:
    """Divide; 0 by 0 is 0, and all else by 0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        divided = np.divide(part, whole)
    return np.where(part == 0, 0.0, divided).astype(np.float64)
