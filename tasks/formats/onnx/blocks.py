"""How `onnx-int8` stores a matrix: 8 bits in blocks along its rows, each block with a scale.

It is the layout of onnxruntime's operators MatMulNBits and GatherBlockQuantized, with bits = 8 and without zero points.
For a matrix [rows, columns]:

- A row is cut into ceil(columns / block_size) blocks. The last block may reach beyond the row; what is stored there is
  never used.
- values: uint8 [rows, blocks, block_size].
- scales: float32 [rows, blocks]. A scale can be negative or zero.
- An element is (value - 128) * scale. The zero point that is not stored is 2 ** (bits - 1).
- A look-up gathers along axis 0, the rows, and is quantized along axis 2, the numbers of a block.

A product stores the transpose of its right operand: a constant [K, N] is a matrix of N rows and K columns. A look-up
stores its table as it is, and reads the scales through an Unsqueeze, as [rows, blocks, 1]. A tied table is stored once,
for both.

Source: onnxruntime, docs/ContribOperators.md, "com.microsoft.MatMulNBits" and "com.microsoft.GatherBlockQuantized".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto

from tasks.formats.onnx.external_data import text_of

DOMAIN = "com.microsoft"
PRODUCT, LOOK_UP = "MatMulNBits", "GatherBlockQuantized"
BITS, ZERO_POINT = 8, 128
BLOCK_SIZES = (16, 32, 64, 128, 256)
"""onnxruntime has kernels of 8 bits for these sizes only."""

ACCURACY_LEVELS = (1, 4)
"""Activations of a product in fp32; or rounded to 8 bits, in blocks, at run time."""

VALUES, SCALES, BIAS = 1, 2, 5
"""The places of a product's inputs. The bias is the only one that may follow the scales."""

AXES = {"gather_axis": 0, "quantize_axis": 2}
DEFAULT_AXES = {"gather_axis": 0, "quantize_axis": 1}
"""The axes of a look-up in this layout, and those that onnxruntime takes where the graph names none."""

DIMENSIONS = 3
"""Those of the values: rows, blocks, and the numbers of a block."""


@dataclass(frozen=True)
class BlockedMatrix:
    """A matrix in blocks: values uint8 [rows, blocks, block_size], scales float32 [rows, blocks]."""

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]


def dequantize_blocks(matrix: BlockedMatrix, columns: int) -> NDArray[np.float32]:
    """Return the matrix float32 [rows, columns]. What the last block of a row stores beyond `columns` is left out."""
    blocks = (matrix.values.astype(np.float32) - ZERO_POINT) * matrix.scales[:, :, None]
    return blocks.reshape(len(blocks), -1)[:, :columns]


def unsqueezed(nodes: Iterable[NodeProto]) -> dict[str, str]:
    """Return the results of each Unsqueeze by name, with the name of what it is made of."""
    return {
        text_of(node.output[0]): text_of(node.input[0])
        for node in nodes
        if node.op_type == "Unsqueeze" and node.input and node.output
    }


def fault(node: NodeProto, constants: Mapping[str, TensorProto], made_of: Mapping[str, str]) -> str | None:
    """Return what contradicts the layout in a product or a look-up, or None.

    constants: those of the graph by name. made_of: as `unsqueezed` returns it.

    onnxruntime repacks the constants of a product before it checks their shapes. With a wrong shape it would read
    memory that is not theirs.
    """
    settings = {text_of(entry.name): entry.i for entry in node.attribute if entry.type == AttributeProto.INT}
    bits, size = settings.get("bits"), settings.get("block_size")
    if bits != BITS or size not in BLOCK_SIZES:
        return f"has {bits} bits in blocks of {size}"
    names = [text_of(name) for name in node.input]
    if len(names) <= SCALES or any(names[SCALES + 1 : BIAS]):
        return "has other inputs than values, scales and a bias"
    if node.op_type == LOOK_UP:
        axes = {name: settings.get(name, default) for name, default in DEFAULT_AXES.items()}
        if axes != AXES:
            return "has the axes " + ", ".join(f"{name} {axis}" for name, axis in axes.items())
        return _fault_of_table(constants.get(names[0]), constants.get(made_of.get(names[SCALES], "")), size)
    if settings.get("accuracy_level") not in ACCURACY_LEVELS:
        return f"has the accuracy level {settings.get('accuracy_level')}"
    columns, rows = settings.get("K", 0), settings.get("N", 0)
    if columns < 1 or rows < 1:
        return f"has the shape {[rows, columns]}"
    shape = [rows, -(-columns // size), size]
    if not _is(constants.get(names[VALUES]), TensorProto.UINT8, shape):
        return f"has no constant values of the shape {shape}"
    if not _is(constants.get(names[SCALES]), TensorProto.FLOAT, shape[:-1]):
        return f"has no constant scales of the shape {shape[:-1]}"
    return None


def _fault_of_table(table: TensorProto | None, scales: TensorProto | None, size: int) -> str | None:
    """Return what contradicts the layout in the constants of a look-up, or None."""
    if table is None or table.data_type != TensorProto.UINT8 or len(table.dims) != DIMENSIONS:
        return f"has no constant table of bytes in blocks of {size}"
    shape = list(table.dims)
    if shape[-1] != size or 0 in shape:
        return f"has a table of the shape {shape}, where its blocks have {size} numbers"
    if not _is(scales, TensorProto.FLOAT, shape[:-1]):
        return f"has no constant scales of the shape {shape[:-1]} behind an Unsqueeze"
    return None


def _is(tensor: TensorProto | None, data_type: int, shape: list[int]) -> bool:
    return tensor is not None and tensor.data_type == data_type and list(tensor.dims) == shape
