"""A tensor of plain numbers is read by rows, and rounds as its type does."""

import numpy as np
import pytest

from tasks.checkpoint.arrays import Numbers
from tasks.formats.stored import BFLOAT16, EXACT, FLOAT16, FLOAT32, Grid, in_float


@pytest.mark.parametrize(
    ("dtype", "kind", "grid"),
    [("F32", "f4", FLOAT32), ("F16", "f2", FLOAT16), ("I32", "i4", EXACT), ("U8", "u1", EXACT)],
)
def test_rows_are_read_as_float32(dtype: str, kind: str, grid: Grid) -> None:
    numbers = np.arange(24).reshape(2, 3, 4).astype(kind)
    tensor = in_float("one", Numbers(dtype, numbers), None)
    assert (tensor.shape, tensor.row, tensor.type, tensor.grid) == ((2, 3, 4), 4, dtype, grid)
    rows = tensor.read(1, 4)
    assert rows.dtype == np.float32 and np.array_equal(rows, np.arange(4, 16).reshape(3, 4))


def test_bfloat16_is_the_upper_half_of_a_float32() -> None:
    bits = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    tensor = in_float("one", Numbers("BF16", bits), None)
    assert np.array_equal(tensor.read(0, 1), [[1.5, -2.0]]) and tensor.grid == BFLOAT16


def test_a_scalar_is_one_row() -> None:
    tensor = in_float("one", Numbers("F32", np.array(3.0, np.float32)), None)
    assert (tensor.row, float(tensor.read(0, 1)[0, 0])) == (1, 3.0)


@pytest.mark.parametrize(
    ("grid", "after_one", "smallest"),
    [
        (FLOAT32, np.nextafter(np.float32(1), np.float32(2)), np.finfo(np.float32).smallest_subnormal),
        (FLOAT16, np.nextafter(np.float16(1), np.float16(2)), np.finfo(np.float16).smallest_subnormal),
        # The upper halves of float32 numbers: 0x3F80 is 1, and 0x0001 is the least above 0.
        (BFLOAT16, *np.array([0x3F810000, 0x00010000], np.uint32).view(np.float32)),
    ],
)
def test_a_float_is_rounded_by_half_a_step(grid: Grid, after_one: float, smallest: float) -> None:
    assert grid == Grid(unit=(float(after_one) - 1) / 2, tiny=float(smallest) / 2)


def test_an_exact_type_allows_no_error() -> None:
    assert (EXACT.unit, EXACT.tiny, EXACT.block, EXACT.scale, EXACT.shrink, EXACT.weighting) == (
        0,
        0,
        None,
        None,
        0,
        None,
    )
