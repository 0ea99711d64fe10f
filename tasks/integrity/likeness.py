"""Says what a faulty tensor looks like: scaled, zero, transposed, its rows reversed, or another tensor of the source.

It keeps a few rows and one column of each tensor, so that nothing must be read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.formats.stored import Floats

ALIKE = 0.9
"""The least correlation of numbers that are called the same. The coarsest types leave more than 0.9 of it."""

KEPT = 4096
"""Numbers of a row that are kept."""

SCALED = 0.5
"""The largest distance from 1 that is called a scale."""


@dataclass
class Likeness:
    """Some numbers of one tensor: the first and last expected row, the first expected column, the first stored row.

    scale: that of the tensor if it is outside its band, else 1: a quantizer changes the scale a little, too.
    """

    name: str
    first: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    last: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    columns: list[Floats] = field(default_factory=list)
    stored: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    any_stored: bool = False
    scale: float = 1.0

    def add(self, expected: Floats, stored: Floats) -> None:
        """Take what is needed of the next rows."""
        if not self.first.size:
            self.first, self.stored = expected[0, :KEPT].copy(), stored[0, :KEPT].copy()
        self.last = expected[-1, :KEPT].copy()
        if sum(map(len, self.columns)) < KEPT:
            self.columns.append(expected[:, 0].copy())
        self.any_stored = self.any_stored or bool(stored.any())


def looks_like(tensor: Likeness, others: Sequence[Likeness]) -> str | None:
    """Return what a faulty tensor looks like, to follow "it looks", or None if it looks like nothing known."""
    if not tensor.stored.size:
        return None
    if not tensor.any_stored:
        return "zeroed"
    if _alike(tensor.stored, tensor.first):
        return "scaled" if 0 < abs(tensor.scale - 1) < SCALED else None
    if _alike(tensor.stored, tensor.last):
        return "as if its rows were reversed"
    if _alike(tensor.stored, np.concatenate(tensor.columns)):
        return "transposed"
    for other in others:
        if other is not tensor and len(other.first) == len(tensor.stored) and _alike(tensor.stored, other.first):
            return f"like {other.name}"
    return None


def _alike(one: Floats, other: Floats) -> bool:
    length = min(len(one), len(other))
    one, other = one[:length].astype(np.float64), other[:length].astype(np.float64)
    norms = np.sqrt((one @ one) * (other @ other))
    return bool(length > 1 and norms > 0 and one @ other / norms > ALIKE)
