"""The bands hold for what quantizers of each kind make of random numbers, and are narrow enough to see 2 per cent."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tasks.formats.stored import BFLOAT16, FLOAT16, FLOAT32, Floats, Grid, Weighting
from tasks.integrity.bands import ROW_SHRINK, allowed_error, allowed_scale, moments, same, scales

ROWS, LENGTH = 400, 1024
RANDOM: dict[str, Callable[[np.random.Generator], Floats]] = {
    "normal": lambda random: random.normal(0, 0.02, (ROWS, LENGTH)).astype(np.float32),
    "laplace": lambda random: random.laplace(0, 0.02, (ROWS, LENGTH)).astype(np.float32),
    "student": lambda random: (0.02 * random.standard_t(4, (ROWS, LENGTH))).astype(np.float32),
    "uniform": lambda random: random.uniform(-0.05, 0.05, (ROWS, LENGTH)).astype(np.float32),
}


def by_largest(numbers: Floats, block: int, steps: int) -> Floats:
    """Round to multiples of a block's largest number by `steps`."""
    blocks = numbers.reshape(-1, block)
    scale = np.abs(blocks).max(-1, keepdims=True) / steps
    rounded: Floats = (np.round(blocks / scale) * scale).reshape(numbers.shape).astype(np.float32)
    return rounded


def by_range(numbers: Floats, block: int, steps: int) -> Floats:
    """Round to `steps` steps between a block's lowest and highest number."""
    blocks = numbers.reshape(-1, block)
    low = np.minimum(blocks.min(-1, keepdims=True), 0)
    scale = (np.maximum(blocks.max(-1, keepdims=True), 0) - low) / steps
    rounded: Floats = (np.round((blocks - low) / scale) * scale + low).reshape(numbers.shape).astype(np.float32)
    return rounded


def by_search(numbers: Floats, block: int, steps: int) -> Floats:
    """Round as a k-quant does: with the scale, of several, that has the least squared error, weighted by squares."""
    blocks = numbers.reshape(-1, block)
    weights = np.square(blocks)
    best, least = np.zeros_like(blocks), np.full((len(blocks), 1), np.inf)
    for tried in np.linspace(0.8, 1.2, 9):
        scale = np.abs(blocks).max(-1, keepdims=True) / steps * tried
        integers = np.clip(np.round(blocks / scale), -steps, steps - 1)
        # The scale with the least weighted squared error for these integers.
        scale = (weights * blocks * integers).sum(-1, keepdims=True) / (weights * integers**2).sum(-1, keepdims=True)
        error = (weights * (blocks - scale * integers) ** 2).sum(-1, keepdims=True)
        best = np.where(error < least, scale * integers, best)
        least = np.minimum(error, least)
    return best.reshape(numbers.shape).astype(np.float32)


def bfloat16(numbers: Floats) -> Floats:
    bits = numbers.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


KINDS: dict[str, tuple[Grid, Callable[[Floats], Floats]]] = {
    "8 bits": (Grid(block=32, steps=127, slack=1.1, row_slack=1.4), lambda x: by_largest(x, 32, 127)),
    "a whole row": (Grid(block=0, steps=127, slack=1.1, row_slack=1.4), lambda x: by_largest(x, LENGTH, 127)),
    "4 bits": (Grid(block=32, steps=8, slack=1.1, row_slack=1.4, shrink=1), lambda x: by_largest(x, 32, 8)),
    "a range": (
        Grid(block=32, span="range", steps=15, slack=1.1, row_slack=1.4, shrink=1),
        lambda x: by_range(x, 32, 15),
    ),
    "a search": (
        # Weights of squares cost the small numbers some error.
        Grid(block=16, steps=4, slack=1.25, row_slack=2, weighting="square", balance_band=0.001, row_balance_band=0.01),
        lambda x: by_search(x, 16, 4),
    ),
    "float32": (FLOAT32, lambda x: x),
    "float16": (FLOAT16, lambda x: x.astype(np.float16).astype(np.float32)),
    "bfloat16": (BFLOAT16, bfloat16),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distribution", RANDOM)
def test_what_a_type_makes_of_random_numbers_is_within_its_bands(kind: str, distribution: str) -> None:
    grid, rounds = KINDS[kind]
    numbers = RANDOM[distribution](np.random.default_rng(1))
    rows = moments(numbers, rounds(numbers), grid)
    total = rows.total()
    assert total.error <= allowed_error(total, grid, grid.slack)
    assert np.abs(scales(total, grid) - 1) <= allowed_scale(total, grid, grid.shrink, grid.balance_band)
    assert (rows.error <= allowed_error(rows, grid, grid.row_slack)).all()
    far = np.abs(scales(rows, grid) - 1)
    assert (far <= allowed_scale(rows, grid, ROW_SHRINK * grid.shrink, grid.row_balance_band)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1.02, 1 / 1.02])
def test_two_per_cent_are_seen(kind: str, factor: float) -> None:
    grid, rounds = KINDS[kind]
    numbers = RANDOM["normal"](np.random.default_rng(1))
    total = moments(numbers, rounds(numbers) * np.float32(factor), grid).total()
    assert np.abs(scales(total, grid) - 1) > allowed_scale(total, grid, grid.shrink, grid.balance_band)
    assert scales(total, grid) == pytest.approx(factor, abs=0.012)


def test_the_expected_error_is_that_of_a_uniform_one() -> None:
    numbers = RANDOM["uniform"](np.random.default_rng(2))
    found = moments(numbers, by_largest(numbers, 32, 127), KINDS["8 bits"][0]).total()
    assert found.errors / found.expected == pytest.approx(1, abs=0.03)


def test_a_scale_of_the_file_gives_the_error_of_all_rows() -> None:
    grid = Grid(scale=0.001)
    numbers = RANDOM["normal"](np.random.default_rng(3))
    found = moments(numbers, (np.round(numbers / 0.001) * 0.001).astype(np.float32), grid).total()
    assert found.errors / found.expected == pytest.approx(1, abs=0.01)


def test_importance_shrinks_the_slope_and_not_the_balance() -> None:
    random = np.random.default_rng(4)
    numbers = RANDOM["normal"](random)
    importance = random.lognormal(0, 3, LENGTH).astype(np.float32)
    grid = Grid(block=32, steps=8, weighting="importance", balance_band=0.002)
    mean = np.sqrt(np.square(numbers) + np.square(numbers).mean(-1, keepdims=True))
    weights, blocks = (importance * mean).reshape(-1, 32), numbers.reshape(-1, 32)
    integers = np.clip(np.round(blocks / (np.abs(blocks).max(-1, keepdims=True) / 8)), -8, 7)
    # The quantizer gives up what is unimportant: here, its numbers become zeros.
    integers = np.where(weights < np.median(weights, -1, keepdims=True) / 10, 0, integers)
    scale = (weights * blocks * integers).sum(-1, keepdims=True) / (weights * integers**2).sum(-1, keepdims=True)
    found = moments(numbers, (scale * integers).reshape(numbers.shape).astype(np.float32), grid, importance).total()
    assert found.slope < 0.9
    assert scales(found, grid) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("grid", [*(grid for grid, _ in KINDS.values()), Grid(unit=2.0**-7, block=32, shrink=1)])
def test_rows_of_zeros_are_right_only_if_they_are_stored_as_zeros(grid: Grid) -> None:
    zeros = np.zeros((2, 64), np.float32)
    kept = moments(zeros, zeros, grid)
    assert (kept.error <= allowed_error(kept, grid, grid.slack)).all()
    assert (scales(kept, grid) == 1).all() and (allowed_scale(kept, grid, grid.shrink, grid.balance_band) >= 0).all()
    made = moments(zeros, zeros + np.float32(0.1), grid)
    assert not (made.error <= allowed_error(made, grid, grid.slack)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_stored_as_they_are_have_no_error(kind: str) -> None:
    grid = KINDS[kind][0]
    found = same(RANDOM["normal"](np.random.default_rng(5))).total()
    assert found.error == 0 and scales(found, grid) == pytest.approx(1)


@pytest.mark.parametrize("weighting", [None, "magnitude and mean"])
def test_the_last_block_of_a_row_may_be_shorter(weighting: Weighting | None) -> None:
    """Formula: half a step of each block, and of the last block's own numbers alone."""
    grid = Grid(block=64, steps=127, slack=1.1, row_slack=1.4, weighting=weighting)
    numbers = RANDOM["normal"](np.random.default_rng(6))[:, :70]
    filled = np.pad(numbers, ((0, 0), (0, 58)))
    stored = by_largest(filled, 64, 127).reshape(filled.shape)[:, :70]
    found = moments(numbers, stored, grid)
    steps = [np.abs(part).max(-1).astype(np.float64) / 127 for part in (numbers[:, :64], numbers[:, 64:])]
    assert found.expected == pytest.approx((64 * steps[0] ** 2 + 6 * steps[1] ** 2) / 12)
    total = found.total()
    assert total.errors / total.expected == pytest.approx(1, abs=0.03)


def small_rows() -> Floats:
    return np.random.default_rng(7).normal(0, 1e-7, (50, LENGTH)).astype(np.float32)


ZEROED = (Grid(block=32, steps=127, multiple=127), Grid(block=32, steps=32, multiple=4096, weighting="square"))


@pytest.mark.parametrize("grid", ZEROED)
def test_what_float16_cannot_resolve_may_be_stored_as_zeros_and_not_as_larger_numbers(grid: Grid) -> None:
    source = small_rows()
    found = moments(source, 0 * source, grid)
    assert (found.error <= allowed_error(found, grid, 1)).all()
    assert (np.abs(scales(found, grid) - 1) <= allowed_scale(found, grid, 0, 0)).all()
    larger = moments(source, -2 * source, grid)
    assert not (larger.error <= allowed_error(larger, grid, 1)).any()


@pytest.mark.parametrize("grid", ZEROED)
def test_a_scale_in_float32_resolves_every_number(grid: Grid) -> None:
    source, resolved = small_rows(), replace(grid, multiple=0)
    found = moments(source, 0 * source, resolved)
    assert not (found.error <= allowed_error(found, resolved, 1)).any()


def test_numbers_whose_scale_is_shared_are_resolved_by_the_largest() -> None:
    source = small_rows()
    alone, together = (Grid(block=16, steps=32, multiple=4096, together=size) for size in (0, 64))
    small = np.square(source.astype(np.float64)).reshape(50, -1, 64)[..., 16:].sum((-1, -2))
    source[:, ::64] = 0.1
    # The blocks without a large number are lost only if their scale has a float16 of its own.
    assert moments(source, source, alone).lost - moments(source, source, together).lost == pytest.approx(small, rel=0.1)


def test_squares_that_float32_cannot_add_up_count() -> None:
    source = (small_rows() * np.float32(1e-16)).astype(np.float32)
    found = moments(source, 2 * source, Grid(block=32, steps=127))
    assert found.squares == pytest.approx(np.square(source.astype(np.float64)).sum(-1))
    assert found.error == pytest.approx(1)


@pytest.mark.parametrize("grid", [Grid(block=32, steps=8, shrink=1), Grid(block=32, span="range", steps=15, shrink=1)])
def test_the_slope_of_numbers_on_a_grid_is_that_of_their_rounding(grid: Grid) -> None:
    """Formula: the slope that rounding to multiples of the scale gives, exactly."""
    numbers = np.round(RANDOM["normal"](np.random.default_rng(8)) / 0.01).astype(np.float32) * np.float32(0.011)
    rounds = KINDS["a range" if grid.span == "range" else "4 bits"][1]
    found = moments(numbers, rounds(numbers), grid)
    assert np.abs(found.slope - 1).max() > 1e-3
    assert (np.abs(scales(found, grid) - 1) <= found.ties / found.squares + 1e-5).all()


def test_the_largest_number_of_the_other_sign_is_clipped() -> None:
    numbers = np.tile(np.array([0.8, -0.8, 0.4, 0.0], np.float32), (1, 8))
    grid = Grid(block=32, steps=8, one_sided=True, shrink=1)
    found = moments(numbers, numbers, grid)
    assert found.expected == pytest.approx(8 * 0.1**2, rel=1e-5)
    assert found.bias == pytest.approx(-8 * 0.8 * 0.1, rel=1e-5)
