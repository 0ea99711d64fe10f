"""Says whether two GGUF files store the same weights.

Their metadata may differ: a file that was quantized with an importance matrix names the matrix.
"""

from pathlib import Path

import numpy as np

from tasks.formats.gguf.header import Header, TensorInfo, read_header
from tasks.formats.gguf.inspect import model_file

PIECE = 1 << 24
"""Bytes that are compared at once."""


def same_weights(folder: Path, other: Path) -> bool:
    """Return whether both files have the same tensors, in the same types, byte for byte. Raises Corrupt for a bad one.

    It reads as far as the first difference, which a calibrated file has in its first quantized tensor.
    """
    one, two = (read_header(model_file(place)) for place in (folder, other))
    twins = {tensor.name: tensor for tensor in two.tensors}
    if {name: _kind(tensor) for name, tensor in twins.items()} != {
        tensor.name: _kind(tensor) for tensor in one.tensors
    }:
        return False
    return all(_same_bytes(one, tensor, two, twins[tensor.name]) for tensor in one.tensors)


def _kind(tensor: TensorInfo) -> tuple[str, tuple[int, ...]]:
    return tensor.type.name, tensor.dimensions


def _same_bytes(one: Header, tensor: TensorInfo, two: Header, twin: TensorInfo) -> bool:
    ours = np.memmap(one.path, np.uint8, "r", tensor.start, (tensor.bytes,))
    theirs = np.memmap(two.path, np.uint8, "r", twin.start, (twin.bytes,))
    return all(
        np.array_equal(ours[start : start + PIECE], theirs[start : start + PIECE])
        for start in range(0, tensor.bytes, PIECE)
    )
