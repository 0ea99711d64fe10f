"""A matrix that is quantized some rows at a time: half a step at most, and the same as at once."""

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("onnxruntime.quantization")

from tasks.errors import Corrupt
from tasks.formats.onnx import block_quantizer
from tasks.formats.onnx.block_quantizer import quantize_blocks
from tasks.formats.onnx.blocks import BLOCK_SIZES, dequantize_blocks

ROWS, COLUMNS = 13, 300


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_no_element_is_off_by_more_than_half_a_step(block_size: int) -> None:
    matrix = np.random.default_rng(4).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    matrix[2], matrix[3, :5], matrix[4, 7] = 0, -3, 50
    made = quantize_blocks("up", matrix, block_size)
    blocks = -(-COLUMNS // block_size)
    assert made.values.shape == (ROWS, blocks, block_size) and made.scales.shape == (ROWS, blocks)
    steps = np.repeat(np.abs(made.scales), block_size, axis=1)[:, :COLUMNS]
    # An element opposite to the farthest one, and as far, would be 128, and 127 is the highest number.
    found = dequantize_blocks(made, COLUMNS)
    assert (np.abs(found - matrix) <= 0.501 * steps + 1e-6).mean() > 0.99
    assert (np.abs(found - matrix) <= 1.001 * steps).all()
    farthest = np.abs(matrix).argmax(axis=1)
    assert np.allclose(found[range(ROWS), farthest], matrix[range(ROWS), farthest])


def test_the_rows_of_a_part_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(4).normal(size=(COLUMNS, ROWS)).astype(np.float32).T
    whole = quantize_blocks("up", matrix, 32)
    monkeypatch.setattr(block_quantizer, "CHUNK_ELEMENTS", 4 * COLUMNS)
    parts = quantize_blocks("up", matrix, 32)
    assert (parts.values == whole.values).all() and (parts.scales == whole.scales).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_named(value: float) -> None:
    matrix = np.ones((ROWS, COLUMNS), np.float32)
    matrix[5, 6] = value
    with pytest.raises(Corrupt, match="The matrix 'up' of the fp32 graph contains NaN or infinity"):
        quantize_blocks("up", matrix, 32)


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 4e-5, 1e-6, 1e-9, 2.6e-23])
def test_rows_near_zero_are_as_exact_as_others(size: float) -> None:
    """Scales are float32, which resolves them."""
    matrix = np.random.default_rng(5).normal(0, size, (ROWS, COLUMNS)).astype(np.float32)
    found = dequantize_blocks(quantize_blocks("embed", matrix, 32), COLUMNS).astype(np.float64)
    errors = np.square(found - matrix).mean(1) / np.square(matrix.astype(np.float64)).mean(1)
    assert (np.sqrt(errors) < 0.01).all()
