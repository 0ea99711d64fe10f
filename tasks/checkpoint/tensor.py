"""What a checkpoint's headers say of one tensor, whichever format its weights are stored in."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tensor:
    """A tensor's dtype as safetensors spells it (`BF16`), its shape, its bytes, and the file that holds it."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    file: str

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)
