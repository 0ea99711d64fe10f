"""Finds NaN and infinity in the weights of a GGUF file.

They come from weights that overflow float16, and from quantized blocks whose scale overflows. llama.cpp's tools write
such files without an error.
"""

from pathlib import Path

import numpy as np

from tasks.formats.gguf.header import Header, TensorInfo

CHUNK = 1 << 24
"""Blocks that are checked at once; 16 Mi float16 numbers and their mask take 50 MB."""


def first_nonfinite(header: Header) -> TensorInfo | None:
    """Return the first tensor with NaN or infinity among its floats or scales, or None if all numbers are finite."""
    return next((tensor for tensor in header.tensors if not _finite(header.path, tensor)), None)


def _finite(path: Path, tensor: TensorInfo) -> bool:
    kind = tensor.type
    if kind.name == "f32":
        numbers = np.memmap(path, dtype="<f4", mode="r", offset=tensor.start, shape=(tensor.elements,))
        return all(bool(np.isfinite(numbers[at : at + CHUNK]).all()) for at in range(0, tensor.elements, CHUNK))
    blocks = tensor.elements // kind.block
    layout = np.dtype(
        {
            "names": [f"half{offset}" for offset in kind.halves],
            "formats": ["<f2"] * len(kind.halves),
            "offsets": list(kind.halves),
            "itemsize": kind.bytes,
        }
    )
    stored = np.memmap(path, dtype=layout, mode="r", offset=tensor.start, shape=(blocks,))
    return all(
        bool(np.isfinite(stored[name][at : at + CHUNK]).all())
        for name in layout.names or ()
        for at in range(0, blocks, CHUNK)
    )
