"""How the numbers of a tensor are changed: every row moves to the next place, or every number is doubled."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.uint8]


def moved(data: bytes, rows: int) -> bytes:
    """Move each of the rows to the next place, and the last to the first."""
    return np.roll(np.frombuffer(data, np.uint8).reshape(rows, -1), 1, axis=0).tobytes()


def doubled(data: bytes, dtype: str) -> bytes:
    """Double every number. dtype: a name of numpy's, "bfloat16", or "q8_0", whose scales are doubled."""
    if dtype == "bfloat16":
        wide = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32) * 2
        return (wide.view(np.uint32) >> 16).astype("<u2").tobytes()
    if dtype == "q8_0":
        blocks = np.frombuffer(data, [("scale", "<f2"), ("numbers", "i1", 32)]).copy()
        blocks["scale"] *= 2
        return blocks.tobytes()
    numbers = np.frombuffer(data, dtype)
    return (numbers * 2).astype(numbers.dtype).tobytes()


CHANGES: Mapping[str, Callable[[bytes, int, str], bytes]] = {
    "moved by a row": lambda data, rows, _: moved(data, rows),
    "doubled": lambda data, _, dtype: doubled(data, dtype),
}
