"""How far a stored tensor may be from its source: the bands that follow from the arithmetic of its type.

Let x be the numbers of the source, as they should be stored, and y the stored ones.

The *relative error* is the root of the sum of (y - x)^2 by the sum of x^2. Its expectation follows from the source
alone, block by block: a uniform error as wide as the scale s has the variance s^2 / 12. The band is `slack` times the
root of these variances' sum, and the rounding of the type's own floats.

The *slope* is that of the regression of y on x through the origin, the sum of xy by the sum of x^2. For errors that do
not depend on x it is 1, and its variance is the sum of x^2 s^2 / 12 by the squared sum of x^2. The band is `shrink`
times the expected share of the error (for a row, ROW_SHRINK times that), DEVIATIONS standard errors, and the rounding
of floats. Where the source lies on a grid itself, such as that of a dequantized model, errors do depend on x. For types
with few steps, the source is rounded to multiples of the scale. The slope that follows is the expected one, and so is
an error that is larger than a uniform one.

A quantizer that searches for the scale with the least squared error shrinks its numbers, and the more so the coarser
it is; with an importance matrix, also those of unimportant columns. Its slope says little about a wrong scale. But its
own choice of a scale fulfils a condition, block by block: the sum of w x y equals that of w y^2, where w are its
weights, because there the derivative of the sum of w (x - y)^2 by the scale is 0. The quotient of the two sums is the
*balance*. It does not depend on the numbers, and its inverse is checked in place of the slope. Both are called the
*scale*.

A scale that is stored in float16 cannot be nearer to the chosen one than HALF_STEP, half the distance between the
float16 numbers around zero. If the chosen one is d, its relative error is at most min(1, HALF_STEP / d), the *loss* of
the block: a row of very small numbers is stored coarsely, or as zeros, by the best quantizer. d follows from the
source: the largest span of the numbers that share it, by the type's `multiple`. Losses widen the bands by what they
may cost. Where the loss exceeds RESOLVED, the balance says nothing, so it is taken over the other blocks alone. All
this is an absolute error of at most HALF_STEP times `multiple`, so it hides no fault of larger numbers.

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

HALF_STEP = 2.0**-25
"""The largest rounding error of a float16 near zero, where its numbers are multiples of 2^-24."""

SMALLER = 1.1
"""By how much a search may take a smaller scale than the span gives, so that it loses more."""

RESOLVED = 1 / 8
"""The largest loss of a block, and of a row on average, whose balance is checked. The scale is then at least 4 steps of
float16 from zero."""

WIDEST = 0.999
"""The widest band of a balance. Numbers that float16 resolves and that are stored as zeros are outside."""

TIE = 1e-3
"""How near to the middle between two multiples, in steps, a number is that either of them may stand for."""

LEAST_SQUARES = 2.0**-100
"""The least sum of squares that float32 adds up well: further below, it keeps too few bits of each square."""

SUMS = ("squares", "cross", "errors", "expected", "spread", "bias", "ties", "lost", "mixed", "own", "due", "blurred")
"""The sums of Moments, in their order."""

Reals = NDArray[np.floating[Any]]
"""Numbers in float32 or float64."""


@dataclass(frozen=True)
class Moments:
    """Sums over the numbers of each row, float64 [rows].

    count: numbers in a row. squares: x^2. cross: x (y - x). errors: (y - x)^2. expected: the expected errors.
    spread: x^2 times the expected variance of its error. bias: x (y - x), if y is x rounded to multiples of the scale.
    ties: by how much numbers in the middle between two multiples may change that. lost: the largest squared errors by
    the losses of scales. With the quantizer's weights w, over the blocks whose balance is checked: mixed: w x y.
    own: w y^2. due: w x^2. blurred: by how much rounding to float16 may change `mixed`.
    """

    count: int
    squares: Sums
    cross: Sums
    errors: Sums
    expected: Sums
    spread: Sums
    bias: Sums
    ties: Sums
    lost: Sums
    mixed: Sums
    own: Sums
    due: Sums
    blurred: Sums

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
    one, other = _summable(source, stored)
    difference = other - one
    squares = _dot(one, one)
    blocks = _Blocks(one, grid) if grid.block is not None and grid.scale is None else None
    expected, spread, lost = _expected(one, squares, grid, blocks)
    bias = ties = np.zeros_like(squares)
    if blocks is not None and (grid.shrink or grid.one_sided):
        rounding, bias, ties = _rounded(one, grid, blocks)
        expected = np.maximum(expected, rounding)
    mixed = own = due = blurred = np.zeros_like(squares)
    if grid.weighting is not None and blocks is not None:
        resolved = _spread(blocks.losses <= RESOLVED, blocks.size, one)
        weights = np.where(resolved, _weights(one, squares, grid, importance), np.zeros_like(one))
        weighted = weights * other
        mixed, own = _dot(weighted, one), _dot(weighted, other)
        weighted = weights * one
        due, blurred = _dot(weighted, one), _blurred(weighted, one, grid, blocks)
    cross, errors = _dot(one, difference), _dot(difference, difference)
    return Moments(
        source.shape[1], squares, cross, errors, expected, spread, bias, ties, lost, mixed, own, due, blurred
    )


def same(source: Floats) -> Moments:
    """Return the sums for rows that are stored as they are."""
    one, _ = _summable(source, source)
    squares = _dot(one, one)
    none = np.zeros_like(squares)
    return Moments(source.shape[1], squares, none, none, none, none, none, none, none, squares, squares, squares, none)


def allowed_error(found: Moments, grid: Grid, slack: float) -> Sums:
    """Return the largest relative error of each row; 0 where the source has only zeros, which every type holds."""
    rounding = grid.unit * np.sqrt(found.squares) + grid.tiny * np.sqrt(found.count)
    typical = np.sqrt(slack**2 * found.expected + found.lost)
    allowed = _ratio(typical + rounding, np.sqrt(found.squares))
    return np.where(found.squares > 0, allowed, 0.0)


def scales(found: Moments, grid: Grid) -> Sums:
    """Return by how much each row looks scaled: the slope less its bias, or the inverse of the balance."""
    if grid.weighting is None:
        return found.slope - _ratio(found.bias, found.squares)
    # Nothing is due of zeros. What float16 hardly resolves may have any scale. Other numbers that are stored as zeros
    # have the scale 0.
    scaled = np.where(found.own > 0, _ratio(np.full(1, grid.balance), found.balance), 0.0)
    return np.where(found.blurred < RESOLVED * found.due, scaled, 1.0)


def allowed_scale(found: Moments, grid: Grid, shrink: float, balance_band: float) -> Sums:
    """Return the largest distance of each row's scale from 1."""
    if grid.weighting is not None:
        return np.minimum(balance_band + _ratio(found.blurred, found.due), WIDEST)
    shrunk = shrink * _ratio(found.expected, found.squares)
    chance = DEVIATIONS * _ratio(np.sqrt(found.spread), found.squares)
    near_zero = _ratio(grid.tiny * np.sqrt(found.count) + np.sqrt(found.lost), np.sqrt(found.squares))
    return shrunk + chance + _ratio(found.ties, found.squares) + grid.unit + near_zero


class _Blocks:
    """The numbers of some rows by the blocks that share a scale.

    numbers: [rows, blocks, size]. counts: how many of them are the row's own [blocks]. span, and low, the number that
    is stored as the integer 0: float64 [rows, blocks]. losses: the largest relative errors of the scales that their
    float16 may cost, at most 1 [rows, blocks].
    """

    def __init__(self, source: Reals, grid: Grid) -> None:
        length = source.shape[1]
        self.size = grid.block or length
        self.numbers = _blocks(source, self.size)
        high, low = self.numbers.max(-1).astype(np.float64), self.numbers.min(-1).astype(np.float64)
        if grid.span == "range" and grid.weighting is not None:
            # Quantizers that search for a lowest number and a scale keep zero inside the span.
            high, low = np.maximum(high, 0), np.minimum(low, 0)
        self.low = low if grid.span == "range" else np.zeros_like(low)
        self.span = high - low if grid.span == "range" else np.maximum(high, -low)
        self.counts = np.full(self.span.shape[1], self.size)
        self.counts[-1] -= self.counts.sum() - length
        together = max(1, grid.together // self.size)
        shared = np.repeat(_blocks(self.span, together).max(-1), together, 1)[:, : self.span.shape[1]]
        step = np.where(shared > 0, SMALLER * HALF_STEP * grid.multiple, 0.0)
        self.losses = np.minimum(_ratio(step, shared), 1.0)


def _expected(source: Reals, squares: Sums, grid: Grid, blocks: _Blocks | None) -> tuple[Sums, Sums, Sums]:
    """Return each row's expected sum of squared errors, the sum of x^2 times the variance of its error, and the
    largest sum of squared errors by the losses of its scales.
    """
    nothing = np.zeros(len(source))
    if grid.scale is not None:
        variance = grid.scale**2 / 12
        return np.full(len(source), source.shape[1] * variance), squares * variance, nothing
    if blocks is None:
        return nothing, nothing, nothing
    variances = np.square(blocks.span / grid.steps) / 12
    energies = np.einsum("rbn,rbn->rb", blocks.numbers, blocks.numbers)
    # A wrong scale moves a number in proportion to its distance from what is stored as the integer 0.
    distances = energies if grid.span == "largest" else blocks.counts * np.square(blocks.span)
    lost = (np.square(blocks.losses) * distances).sum(-1)
    return (blocks.counts * variances).sum(-1), (variances * energies).sum(-1), lost


def _rounded(source: Reals, grid: Grid, blocks: _Blocks) -> tuple[Sums, Sums, Sums]:
    """Return each row's sums of squared errors and of x times the error, if the source is rounded to the nearest
    multiples of the scale; and by how much ties may change the second.
    """
    numbers, low = blocks.numbers, blocks.low[..., None].astype(source.dtype)
    scale = (blocks.span / grid.steps)[..., None].astype(source.dtype)
    # A scale that is too small for a float stores zeros, as one of 0 does.
    scale = np.where(scale > 0, scale, np.ones_like(scale))
    lowest, highest = 0.0, grid.steps
    if grid.span == "largest":
        # The first of the largest numbers is the lowest multiple, whatever its sign.
        largest = np.take_along_axis(numbers, np.abs(numbers).argmax(-1)[..., None], -1)
        scale = np.where(largest > 0, -scale, scale)
        lowest, highest = -grid.steps, grid.steps - grid.one_sided
    steps = (numbers - low) / scale
    errors = (np.clip(np.round(steps), lowest, highest) - steps) * scale
    tie = np.abs(steps - np.floor(steps) - 0.5) < TIE
    either = np.where(tie, np.abs(numbers * scale), 0.0).sum((-1, -2), np.float64)
    products = (numbers * errors).sum((-1, -2), np.float64)
    return np.square(errors).sum((-1, -2), np.float64), products, either


def _blurred(weighted: Reals, source: Reals, grid: Grid, blocks: _Blocks) -> Sums:
    """Return by how much the rounding of scales and numbers to float16 may change the sum of w x y. weighted: w x."""
    products = weighted * (source - _spread(blocks.low, blocks.size, source))
    of_scales: Sums = (np.abs(_blocks(products, blocks.size).sum(-1)) * blocks.losses).sum(-1)
    # The numbers themselves were rounded before, and their lowest number after.
    of_scales += 2 * grid.tiny * np.abs(weighted).sum(-1)
    return of_scales


def _spread(values: NDArray[Any], size: int, source: Reals) -> NDArray[Any]:
    """Return the values of blocks [rows, blocks] for each of their numbers, [rows, row length]."""
    kept = values if values.dtype == bool else values.astype(source.dtype)
    return np.repeat(kept, size, 1)[:, : source.shape[1]]


def _weights(source: Reals, squares: Sums, grid: Grid, importance: Floats | None) -> Reals:
    """Return the weight that the quantizer gives to the error of each number, up to a factor."""
    if grid.weighting == "square":
        return np.square(source)
    if grid.weighting == "magnitude":
        return np.abs(source)
    if grid.weighting == "magnitude and mean":
        blocks = _blocks(source, grid.block or source.shape[1])
        means = np.sqrt(np.einsum("rbn,rbn->rb", blocks, blocks) / blocks.shape[-1])
        summed: Reals = np.abs(blocks) + means[..., None]
        return summed.reshape(len(source), -1)[:, : source.shape[1]]
    mean = (squares / source.shape[1]).astype(source.dtype)[:, None]
    weights: Reals = np.sqrt(np.square(source) + mean)
    return weights if importance is None else weights * importance


def _summable(one: Floats, other: Floats) -> tuple[Reals, Reals]:
    """Return both as they are, or in float64 if there are rows whose squares float32 cannot add up."""
    if (np.einsum("rn,rn->r", one, one) < LEAST_SQUARES).any():
        return one.astype(np.float64), other.astype(np.float64)
    return one, other


def _blocks(source: Reals, block: int) -> Reals:
    """Return rows as blocks, [rows, blocks, block]. The last block of a row is filled up with zeros."""
    beyond = -source.shape[1] % block
    filled = np.pad(source, ((0, 0), (0, beyond))) if beyond else source
    return filled.reshape(len(source), -1, block)


def _dot(one: Reals, other: Reals) -> Sums:
    products: Reals = np.einsum("rn,rn->r", one, other)
    return products.astype(np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Sums:
    """Divide; 0 by 0 is 0, and all else by 0 is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        divided = np.divide(part, whole)
    return np.where(part == 0, 0.0, divided).astype(np.float64)
