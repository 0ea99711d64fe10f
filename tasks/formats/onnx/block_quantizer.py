"""Quantizes one matrix in blocks of 8 bits, some rows at a time, by onnxruntime's own quantizer."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, DefaultWeightOnlyQuantizer

from tasks.errors import Corrupt
from tasks.formats.onnx.blocks import BITS, BlockedMatrix

CHUNK_ELEMENTS = 4 * 1024 * 1024
"""Elements that are quantized at once: 16 MiB of float32, and the same again for each copy of them."""


def quantize_blocks(name: str, matrix: NDArray[np.float32], block_size: int) -> BlockedMatrix:
    """Quantize a matrix [rows, columns].

    block_size: elements of a block, one of BLOCK_SIZES.

    The scale of a block is the element that is farthest from zero, divided by -128. So that element is exact.

    Raises Corrupt, with the matrix's name, if a number in it is not finite.
    """
    config = DefaultWeightOnlyQuantConfig(block_size=block_size, is_symmetric=True, bits=BITS)
    quantizer = DefaultWeightOnlyQuantizer(config)
    rows, columns = matrix.shape
    blocks = -(-columns // block_size)
    made = BlockedMatrix(np.empty((rows, blocks, block_size), np.uint8), np.empty((rows, blocks), np.float32))
    for part in _parts(rows, columns):
        # The quantizer takes the right operand of a product, [columns, rows].
        operand = np.ascontiguousarray(matrix[part].T)
        if not np.isfinite(operand).all():
            raise Corrupt(f"The matrix {name!r} of the fp32 graph contains NaN or infinity; check the source.")
        made.values[part], made.scales[part], _ = quantizer.qbits_block_quant(operand)
    return made


def _parts(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, CHUNK_ELEMENTS // columns)
    for start in range(0, rows, step):
        yield slice(start, start + step)
