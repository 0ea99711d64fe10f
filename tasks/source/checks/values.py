"""Checks that no weight is NaN or infinite, which would ruin the model's output. Reads blocks, in bounded memory."""

from io import RawIOBase

import numpy as np

from tasks.checkpoint.dtypes import DTYPES
from tasks.checkpoint.headers import TensorEntry, read_header
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.unused import is_unused
from tasks.errors import FETCH_AGAIN, Corrupt
from tasks.source.parameters import ScanParameters

BLOCK_BYTES = 4 * 1024 * 1024
"""Large enough for numpy's loops, small enough to stay in the processor's cache between two passes."""

NOT_FINITE = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "C64": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "F16": ("<u2", 0x7C00, 0x7C00),
    "BF16": ("<u2", 0x7F80, 0x7F80),
    "F8_E5M2": ("u1", 0x7C, 0x7C),
    "F8_E4M3": ("u1", 0x7F, 0x7F),
    "F8_E8M0": ("u1", 0xFF, 0xFF),
    "F8_E5M2FNUZ": ("u1", 0xFF, 0x80),
    "F8_E4M3FNUZ": ("u1", 0xFF, 0x80),
}
"""Per dtype: the unsigned type of the same width, a mask, and the masked bits of a NaN or an infinity.

IEEE 754 types have an exponent of ones. Some 8-bit types have no infinities and one pattern for NaN: OCP 8-bit floating
point 1.0, and FNUZ, where it is negative zero.
"""


def check_values(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the file, the tensor and the element."""
    if snapshot.weight_format == "pytorch":
        return _check_pickled(snapshot)
    size, buffer = 0, memoryview(bytearray(BLOCK_BYTES))
    for file in sorted({tensor.file for tensor in snapshot.tensors.values()}):
        path = snapshot.folder / file
        header = read_header(path)
        with path.open("rb", buffering=0) as source:
            for name, entry in header.tensors.items():
                if is_unused(name, entry.shape):
                    continue
                element = first_not_finite(source, entry, buffer)
                if element is not None:
                    raise _not_finite(file, name, element)
                size += entry.size if entry.dtype in NOT_FINITE else 0
    return f"{size / 1e6:.1f} MB of numbers, all finite", True


def first_not_finite(source: RawIOBase, entry: TensorEntry, buffer: memoryview) -> int | None:
    """Return the index of a tensor's first element that is NaN or infinite, or None. Integers are always finite."""
    if entry.dtype not in NOT_FINITE:
        return None
    kind, mask, pattern = NOT_FINITE[entry.dtype]
    dtype = np.dtype(kind)
    source.seek(entry.start)
    done = 0
    while done < entry.size:
        count = _fill(source, buffer[: min(len(buffer), entry.size - done)])
        values = np.frombuffer(buffer, dtype, count // dtype.itemsize)
        wrong = (values & dtype.type(mask)) == dtype.type(pattern)
        if wrong.any():
            return (done // dtype.itemsize + int(wrong.argmax())) * dtype.itemsize * 8 // DTYPES[entry.dtype].bits
        done += count
    return None


def _fill(source: RawIOBase, target: memoryview) -> int:
    """Read until `target` is full; a single raw read may return less."""
    filled = 0
    while filled < len(target):
        count = source.readinto(target[filled:])
        if not count:
            raise Corrupt(f"A file of the weights became shorter while it was read; {FETCH_AGAIN}.")
        filled += count
    return filled


def _check_pickled(snapshot: Snapshot) -> tuple[str, bool]:
    import torch

    from tasks.checkpoint.pickles import load_tensors, weight_files

    size = 0
    for file in weight_files(snapshot.folder):
        for name, tensor in load_tensors(snapshot.folder / file):
            if not tensor.is_floating_point() or is_unused(name, tensor.shape):
                continue
            for number, block in enumerate(tensor.reshape(-1).split(BLOCK_BYTES // 4)):
                finite = torch.isfinite(block.float())
                if not bool(finite.all()):
                    element = number * (BLOCK_BYTES // 4) + int((~finite).to(torch.uint8).argmax())
                    raise _not_finite(file, name, element)
            size += tensor.nbytes
    return f"{size / 1e6:.1f} MB of numbers, all finite", True


def _not_finite(file: str, name: str, element: int) -> Corrupt:
    return Corrupt(
        f"{file}: tensor {name!r} is NaN or infinite at element {element}; ask the publisher to fix the weights."
    )
