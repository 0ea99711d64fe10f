"""Weights that lie on a grid themselves are right in every type, and so are those with rare shapes."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.checkpoint.arrays import to_float32
from tasks.integrity.compare import compare
from tests.tasks.formats.gguf.ggml import bfloat16, cases, described, quantized

pytestmark = pytest.mark.runtime("llama-cpp")

ROWS, LENGTH, GROUP = 64, 2048, 128
Array = NDArray[np.float64]
PLAIN = [kind for kind, important in cases() if not important]
TYPES = [kind for kind in PLAIN if kind != "iq3_s"]
"""iq3_s rounds to points of a lattice, whose errors for such numbers no formula gives."""


def in_groups(rows: Array) -> tuple[Array, Array]:
    """Return the rows by GROUP, and the largest number of each group."""
    groups = rows.reshape(ROWS, -1, GROUP)
    return groups, np.abs(groups).max(-1, keepdims=True)


def asymmetric(random: np.random.Generator) -> Array:
    groups, largest = in_groups(random.normal(0, 0.02, (ROWS, LENGTH)))
    return (np.round(groups / (largest / 7.5) - 0.5) + 0.5) * (largest / 7.5)


def symmetric(random: np.random.Generator) -> Array:
    groups, largest = in_groups(random.normal(0, 0.02, (ROWS, LENGTH)))
    return np.round(groups / (largest / 7)) * (largest / 7)


def ternary(random: np.random.Generator) -> Array:
    return random.choice((-0.031, 0.0, 0.031), (ROWS, LENGTH))


def heavy_tails(random: np.random.Generator) -> Array:
    return 0.01 * random.standard_t(2, (ROWS, LENGTH))


def outlying_column(random: np.random.Generator) -> Array:
    rows = random.normal(0, 0.02, (ROWS, LENGTH))
    rows[:, 7] *= 60
    return rows


def sparse(random: np.random.Generator) -> Array:
    return random.normal(0, 0.02, (ROWS, LENGTH)) * (random.random((ROWS, LENGTH)) < 0.1)


def positive(random: np.random.Generator) -> Array:
    return np.abs(random.normal(0, 0.02, (ROWS, LENGTH))) + 0.01


def positive_on_a_grid(random: np.random.Generator) -> Array:
    return np.asarray(random.integers(2, 8, (ROWS, LENGTH)) / 100, np.float64)


def small_half(random: np.random.Generator) -> Array:
    rows = random.normal(0, 0.02, (ROWS, LENGTH))
    rows[:, : LENGTH // 2] *= 1e-3
    return rows


SHAPES: tuple[Callable[[np.random.Generator], Array], ...] = (
    *(asymmetric, symmetric, ternary, heavy_tails, outlying_column, sparse, positive, positive_on_a_grid, small_half),
)


@cache
def source(shape: Callable[[np.random.Generator], Array]) -> NDArray[np.uint16]:
    return bfloat16(shape(np.random.default_rng(1)).reshape(ROWS, LENGTH))


def fault_of(kind: str, bits: NDArray[np.uint16], factor: float = 1.0) -> str | None:
    stored = quantized(kind, bits, None) * np.float32(factor)
    content, given = described(kind, bits, stored, None)
    return compare(kind, content, given, 1, lambda what, share: None).tensors[0].fault


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_they_are_within_the_bands(kind: str, shape: Callable[[np.random.Generator], Array]) -> None:
    assert fault_of(kind, source(shape)) is None


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_scale_of_them_is_found(
    kind: str, factor: float, shape: Callable[[np.random.Generator], Array]
) -> None:
    assert fault_of(kind, source(shape), factor)


def test_their_numbers_are_on_a_grid() -> None:
    assert len(np.unique(to_float32("BF16", source(ternary)))) == 3
    assert len(np.unique(to_float32("BF16", source(symmetric))[0, :GROUP])) <= 15
