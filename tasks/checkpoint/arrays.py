"""Opens a snapshot's weights as numpy arrays over its files, without torch and without reading them.

numpy has no bfloat16, so an array holds the bits of its numbers, and `to_float32` turns a piece of it into numbers.
This is another reader than that of the conversions (tasks/checkpoint/tensors.py), which uses torch.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.headers import INDEX_FILE, SINGLE_FILE, read_header, read_index
from tasks.errors import Unsupported

STORED_AS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
"""numpy's type for the bits of each type, by the names of safetensors. BF16 is given by its bits."""


@dataclass(frozen=True)
class Numbers:
    """Numbers in a file: their dtype as safetensors spells it, and their bits as an array, mapped and not yet read."""

    dtype: str
    bits: NDArray[Any]

    def seen(self, bits: NDArray[Any]) -> "Numbers":
        """Return the same numbers in another order or shape, or some of them: `bits` is a view of these."""
        return Numbers(self.dtype, bits)


def to_float32(dtype: str, bits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the numbers of an array, in float32 and in its shape. A float64 is rounded."""
    if dtype == "BF16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.astype(np.float32)


def forget(array: NDArray[Any]) -> None:
    """Let the kernel take back the memory of the mapped file that an array is a view of. It can be read again.

    Pages that were read stay in memory while their file is mapped, and count as the process's own.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def open_numbers(folder: Path) -> Mapping[str, Numbers]:
    """Return every tensor of a checkpoint by name, mapped from its files.

    Pickles are opened by torch's restricted unpickler, which maps them, too. Raises Corrupt for wrong headers or index,
    Refused for pickles that hold more than tensors, and Unsupported for types in which quantized weights are stored.
    """
    if not ((folder / SINGLE_FILE).is_file() or (folder / INDEX_FILE).is_file()):
        return _from_pickles(folder)
    found = {}
    for file in sorted(set(read_index(folder).values())):
        header = read_header(folder / file)
        mapped = np.memmap(folder / file, np.uint8, "r") if header.tensors else np.empty(0, np.uint8)
        for name, entry in header.tensors.items():
            kind = _numpy_type(name, entry.dtype)
            found[name] = Numbers(entry.dtype, mapped[entry.start : entry.end].view(kind).reshape(entry.shape))
    return found


def _from_pickles(folder: Path) -> Mapping[str, Numbers]:
    import torch

    from tasks.checkpoint.dtypes import spell
    from tasks.checkpoint.pickles import read_tensors

    found = {}
    for name, (_, tensor) in read_tensors(folder).items():
        dtype = spell(tensor.dtype) or str(tensor.dtype)
        kind = _numpy_type(name, dtype)
        bits = tensor.detach().contiguous()
        array = bits.view(torch.int16).numpy() if dtype == "BF16" else bits.numpy()
        found[name] = Numbers(dtype, array.view(kind).reshape(tuple(tensor.shape)))
    return found


def _numpy_type(name: str, dtype: str) -> np.dtype[Any]:
    if dtype not in STORED_AS:
        raise Unsupported(
            f"Tensor {name!r} is stored as {dtype}, so the source is quantized; "
            "release the unquantized model it was made from instead."
        )
    return np.dtype(STORED_AS[dtype])
