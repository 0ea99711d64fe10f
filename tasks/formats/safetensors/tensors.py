"""Says what a safetensors artifact stores: the source's tensors under their own names, in bfloat16.

Its reader is numpy over the files (tasks/checkpoint/arrays.py); the conversion writes with torch.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tasks.checkpoint.arrays import Numbers, open_numbers
from tasks.checkpoint.embedding import EMBEDDING, HEAD
from tasks.checkpoint.unused import is_unused
from tasks.formats.stored import Content, Origin, Part, Source, in_float

UNUSED = "the model's code computes it, or only training needs it"


def stored_tensors(folder: Path, source: Source, bases: Mapping[str, Path]) -> Content:
    """Return what the artifact in `folder` stores. Raises Corrupt for malformed headers."""
    found = open_numbers(folder)
    tensors = tuple(
        in_float(name, numbers, Origin((Part(name, known),)) if (known := source.tensors.get(name)) else None)
        for name, numbers in found.items()
    )
    dropped = {name: UNUSED for name, numbers in source.tensors.items() if is_unused(name, numbers.bits.shape)}
    for name, numbers in source.tensors.items():
        if name not in found and (twin := _twin(name, numbers, source, list(found))):
            dropped[name] = f"the same numbers as {twin}, to which it is tied"
    return Content(tensors, dropped)


def _twin(name: str, numbers: Numbers, source: Source, kept: list[str]) -> str | None:
    """Return the embedding or output head that the artifact has in place of this one, with the same bits, or None."""
    if not (EMBEDDING.fullmatch(name) or HEAD.fullmatch(name)):
        return None
    for other in kept:
        known = source.tensors.get(other)
        if (
            known is not None
            and (EMBEDDING.fullmatch(other) or HEAD.fullmatch(other))
            and (known.dtype, known.bits.shape) == (numbers.dtype, numbers.bits.shape)
            and np.array_equal(known.bits, numbers.bits)
        ):
            return other
    return None
