"""How `onnx-int8` stores a matrix: 8 bits in blocks along its rows, each block with a scale.

It is the layout of onnxruntime's operators MatMulNBits and GatherBlockQuantized, with bits = 8 and without zero points.
For a matrix [rows, columns]:

- A row is cut into ceil(columns / block_size) blocks. The last block may reach beyond the row; what is stored there is
  never used.
- values: uint8 [rows, blocks, block_size].
- scales: float32 [rows, blocks]. A scale can be negative or zero.
- An element is (value - 128) * scale. The zero point that is not stored is 2 ** (bits - 1).

A product stores the transpose of its right operand: a constant [K, N] is a matrix of N rows and K columns. A look-up
stores its table as it is. A tied table is stored once, for both.

Source: onnxruntime, docs/ContribOperators.md, "com.microsoft.MatMulNBits" and "com.microsoft.GatherBlockQuantized".
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

DOMAIN = "com.microsoft"
PRODUCT, LOOK_UP = "MatMulNBits", "GatherBlockQuantized"
BITS, ZERO_POINT = 8, 128
BLOCK_SIZES = (16, 32, 64, 128, 256)
"""onnxruntime has kernels of 8 bits for these sizes only."""


@dataclass(frozen=True)
class BlockedMatrix:
    """A matrix in blocks: values uint8 [rows, blocks, block_size], scales float32 [rows, blocks]."""

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]


def dequantize_blocks(matrix: BlockedMatrix, columns: int) -> NDArray[np.float32]:
    """Return the matrix float32 [rows, columns]. What the last block of a row stores beyond `columns` is left out."""
    blocks = (matrix.values.astype(np.float32) - ZERO_POINT) * matrix.scales[:, :, None]
    return blocks.reshape(len(blocks), -1)[:, :columns]


def fault(node: NodeProto, tensors: Mapping[str, TensorProto]) -> str | None:
    """Return what contradicts the layout in a product or a look-up, or None. `tensors`: the constants by name.

    onnxruntime repacks the constants of a product before it checks their shapes. With a wrong shape it would read
    memory that is not theirs.
    """
    settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    bits, size = settings.get("bits"), settings.get("block_size")
    if bits != BITS or size not in BLOCK_SIZES:
        return f"has {bits} bits in blocks of {size}"
    if len(node.input) < 3 or any(node.input[3:5]):
        return "has other inputs than values and scales"
    if node.op_type == LOOK_UP:
        table = tensors.get(node.input[0])
        return None if _is(table, TensorProto.UINT8, None) else "has no constant table of bytes"
    columns, rows = settings.get("K"), settings.get("N")
    if not (isinstance(columns, int) and isinstance(rows, int)):
        return "does not state its shape"
    shape = [rows, -(-columns // size), size]
    if not _is(tensors.get(node.input[1]), TensorProto.UINT8, shape):
        return f"has no constant values of the shape {shape}"
    if not _is(tensors.get(node.input[2]), TensorProto.FLOAT, shape[:2]):
        return f"has no constant scales of the shape {shape[:2]}"
    return None


def _is(tensor: TensorProto | None, data_type: int, shape: list[int] | None) -> bool:
    return tensor is not None and tensor.data_type == data_type and shape in (None, list(tensor.dims))
