"""Rows near zero, such as those of untrained tokens: the best that a type can do is right, and a fault is found.

Published norms of embedding rows: Llama 3 8B has 19 rows of 2.6e-23 (root mean square) and a dozen of 1e-5 to 1e-4,
Llama 3.1 70B 19 of 2.8e-7, Qwen2.5 7B some of 1e-9 to 7e-5, Mistral 7B of 4e-5 (https://github.com/cohere-ai/magikarp).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.checkpoint.arrays import to_float32
from tasks.formats.stored import Floats
from tasks.integrity.compare import compare
from tests.tasks.formats.gguf.ggml import bfloat16, cases, described, quantized

pytestmark = pytest.mark.runtime("llama-cpp")

NORMAL = 1e-2
SIZES = (NORMAL, 1e-3, 1e-4, 4e-5, 1e-6, 1e-9, 2.6e-23)
"""Root mean squares of rows."""
ROWS, LENGTH = 192, 2048
FIRST, EACH = 20, 8
"""The first of the rows near zero, and how many have each of SIZES."""

KINDS = [pytest.param(kind, important, id=f"{kind}{'-important' * important}") for kind, important in cases()]
COARSE = ("q2_k", "q3_k", "iq2", "iq3")
"""Types that may give up a row for an importance matrix, so that only its zeros are a fault."""


def place(size: float) -> int:
    """Return the first row of a size."""
    return FIRST + EACH * SIZES.index(size)


@cache
def source(typical: float = NORMAL) -> NDArray[np.uint16]:
    random = np.random.default_rng(0)
    rows = random.normal(0, typical, (ROWS, LENGTH))
    for size in SIZES:
        rows[place(size) : place(size) + EACH] *= size / typical
    return bfloat16(rows)


@cache
def weights(important: bool) -> Floats | None:
    return np.random.default_rng(7).lognormal(0, 1, LENGTH).astype(np.float32) if important else None


@cache
def made(kind: str, important: bool) -> Floats:
    return quantized(kind, source(), weights(important))


def fault_of(kind: str, important: bool, bits: NDArray[np.uint16], stored: Floats) -> str | None:
    content, given = described(kind, bits, stored, weights(important))
    (tensor,) = compare(kind, content, given, 1, lambda what, share: None).tensors
    return tensor.fault


@pytest.mark.parametrize(("kind", "important"), KINDS)
@pytest.mark.parametrize("typical", [NORMAL, 0.6])
def test_rows_near_zero_are_as_good_as_their_type(kind: str, important: bool, typical: float) -> None:
    bits = source(typical=typical)
    assert fault_of(kind, important, bits, quantized(kind, bits, weights(important))) is None


@pytest.mark.parametrize(("kind", "important"), KINDS)
@pytest.mark.parametrize("size", [1e-4, 4e-5, 1e-6, 1e-9, 2.6e-23])
def test_a_whole_tensor_near_zero_is_as_good_as_its_type(kind: str, important: bool, size: float) -> None:
    bits = bfloat16(np.random.default_rng(1).normal(0, size, (ROWS, LENGTH)))
    assert fault_of(kind, important, bits, quantized(kind, bits, weights(important))) is None


FAULTS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "zeroed": lambda row, other: 0 * row,
    "scaled": lambda row, other: row * np.float32(1.5),
    "swapped": lambda row, other: other,
    "negative": lambda row, other: -row,
    "noisy": lambda row, other: row + other,
}


FOUND = [
    pytest.param(kind, important, fault, id=f"{kind}{'-important' * important}-{fault}")
    for kind, important in cases()
    for fault in FAULTS
    if fault == "zeroed" or not (important and kind.startswith(COARSE))
]


@pytest.mark.parametrize(("kind", "important", "fault"), FOUND)
@pytest.mark.parametrize("size", [NORMAL, 1e-3])
def test_a_fault_of_a_row_that_the_type_resolves_is_found(kind: str, important: bool, fault: str, size: float) -> None:
    bits = source()
    stored = made(kind, important).copy()
    row = place(size)
    stored[row] = FAULTS[fault](stored[row].copy(), stored[row + 1].copy())
    assert fault_of(kind, important, bits, stored)


@pytest.mark.parametrize(("kind", "important"), KINDS)
@pytest.mark.parametrize("size", SIZES[2:])
def test_a_row_near_zero_that_became_a_tenth_of_a_normal_one_is_found(kind: str, important: bool, size: float) -> None:
    bits = source()
    stored = made(kind, important).copy()
    row = place(size)
    stored[row] = stored[0] / 10
    assert fault_of(kind, important, bits, stored)


def test_the_rows_are_near_zero() -> None:
    sizes = np.sqrt(np.square(to_float32("BF16", source()).astype(np.float64)).mean(-1))
    for size in SIZES:
        assert sizes[place(size)] == pytest.approx(size, rel=0.05)
