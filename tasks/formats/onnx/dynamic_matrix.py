"""Quantizes one matrix to 8 bits, block by block, so that memory holds only one block in floating point.

The result is bit for bit that of onnxruntime's quantizer, which handles a matrix at once. Formulas:
`onnxruntime.quantization.quant_utils`. A weight is symmetric, from -127 to 127 (-64 to 64 with a reduced range). An
embedding table is asymmetric, from 0 to 255, with one scale for the whole table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import (
    compute_data_quant_params,
    get_qmin_qmax_for_qType,
    quantize_nparray,
)

from tasks.errors import Corrupt

BLOCK_ELEMENTS = 4 * 1024 * 1024
"""Elements of a block: 16 MiB of float32, and the same again for each step of the computation."""


@dataclass(frozen=True)
class QuantizedMatrix:
    """A quantized matrix, approximately equal to (values - zero_point) * scale.

    values: int8 or uint8, with the matrix's shape.
    scale: float32; a scalar, or one number for each column.
    zero_point: with the dtype of `values` and the shape of `scale`.
    """

    values: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]


def quantize_matrix(
    name: str, matrix: NDArray[np.float32], data_type: int, *, per_channel: bool, reduce_range: bool
) -> QuantizedMatrix:
    """Quantize a matrix to `data_type`, which is TensorProto.INT8 or TensorProto.UINT8.

    per_channel: use one scale for each column instead of one for the matrix.
    reduce_range: use 7 bits instead of 8.

    Raises Corrupt, with the matrix's name, if a number in it is not finite.
    """
    symmetric = data_type == TensorProto.INT8
    lows, highs = _extremes(matrix)
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise Corrupt(f"The matrix {name!r} of the fp32 graph contains NaN or infinity; check the source.")
    if per_channel:
        scale, zero_point = _column_parameters(lows, highs, data_type, reduce_range)
    else:
        extremes = np.array([lows.min(), highs.max()], np.float32)
        zero_point, scale = compute_data_quant_params(extremes, data_type, symmetric, reduce_range)
    values = np.empty(matrix.shape, zero_point.dtype)
    for block in _blocks(matrix):
        columns = block[1] if per_channel else ...
        values[block] = quantize_nparray(data_type, matrix[block], scale[columns], zero_point[columns])
    return QuantizedMatrix(values, scale, zero_point)


def _extremes(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the lowest and the highest value of each column."""
    lows = np.full(matrix.shape[1], np.inf, np.float32)
    highs = -lows
    for block in _blocks(matrix):
        columns = block[1]
        lows[columns] = np.minimum(lows[columns], matrix[block].min(axis=0))
        highs[columns] = np.maximum(highs[columns], matrix[block].max(axis=0))
    return lows, highs


def _column_parameters(
    lows: NDArray[np.float32], highs: NDArray[np.float32], data_type: int, reduce_range: bool
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return scales and zero points of symmetric columns: onnxruntime's `compute_scale_zp`, for all columns at once."""
    lowest, highest = get_qmin_qmax_for_qType(data_type, reduce_range, symmetric=True)
    reach = np.maximum(np.abs(np.minimum(lows, 0)), np.abs(np.maximum(highs, 0))).astype(np.float64)
    scale = 2 * reach / (float(highest) - float(lowest))
    # A column of zeros, or of numbers close to zero, gets the scale 1.
    scale[scale < np.finfo(np.float32).tiny] = 1.0
    return scale.astype(np.float32), np.zeros(scale.shape, lowest.dtype)


def _blocks(matrix: NDArray[np.float32]) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks of a matrix in the order of the file: groups of rows, or of columns if it is transposed."""
    rows, columns = matrix.shape
    by_rows = matrix.strides[0] >= matrix.strides[1]
    length, across = (rows, columns) if by_rows else (columns, rows)
    step = max(1, BLOCK_ELEMENTS // across)
    for start in range(0, length, step):
        part = slice(start, start + step)
        yield (part, slice(None)) if by_rows else (slice(None), part)
