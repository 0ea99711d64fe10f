"""Reads a snapshot's weights, tensor by tensor and piece by piece, from safetensors or from pickled `.bin` files."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.checkpoint.dtypes import FLOATS, spell, torch_dtype
from tasks.checkpoint.headers import (
    INDEX_FILE,
    SINGLE_FILE,
    TensorEntry,
    read_header,
    read_index,
)
from tasks.checkpoint.pickles import BIN_FILE, BIN_INDEX, read_tensors
from tasks.checkpoint.unused import is_unused
from tasks.errors import FETCH_AGAIN, Corrupt, NotFound, Unsupported

# Elements that are converted at once: 64 MiB in fp32, large enough for fast reads and small beside any model.
PIECE = 16 * 1024 * 1024
STORED = (*FLOATS, "I64", "I32", "I16", "I8", "U8", "BOOL")
"""Types of unquantized weights and of the buffers beside them."""


@dataclass(frozen=True)
class Weight:
    """One tensor of the source: its name, dtype (as safetensors spells it), shape, and where its bytes are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: "TensorEntry | torch.Tensor"
    file: Path

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def pieces(self) -> Iterator[torch.Tensor]:
        """Yield the elements in order, flat, at most PIECE at once."""
        if isinstance(self.place, torch.Tensor):
            # A transposed or sliced tensor is copied whole; others are views of the mapped file.
            flat = self.place.contiguous().view(-1)
            for start in range(0, flat.numel(), PIECE):
                yield flat[start : start + PIECE]
            return
        dtype = torch_dtype(self.dtype)
        step = PIECE * dtype.itemsize
        with self.file.open("rb") as file:
            file.seek(self.place.start)
            left = self.place.size
            while left:
                raw = bytearray(min(step, left))
                if file.readinto(raw) != len(raw):
                    raise Corrupt(f"{self.file.name}: the file ended within tensor {self.name!r}; {FETCH_AGAIN}.")
                left -= len(raw)
                yield torch.frombuffer(raw, dtype=dtype)


def read_weights(folder: Path) -> list[Weight]:
    """Return all weights of a snapshot in the order of their files, except for unused ones (see `is_unused`).
    Safetensors are preferred to pickles.

    Raises NotFound where there are no weights, Refused for pickles that hold more than tensors, Corrupt where files and
    index disagree, and Unsupported for types in which quantized weights are stored.
    """
    weights = [weight for weight in _stored(folder) if not is_unused(weight.name, weight.shape)]
    for weight in weights:
        if weight.dtype not in STORED or (weight.name.endswith(".weight") and weight.dtype[0] not in "FB"):
            raise Unsupported(
                f"{weight.file.name}: tensor {weight.name!r} is stored as {weight.dtype}, so the source is quantized; "
                "release the unquantized model it was made from instead."
            )
    return weights


def have_same_values(folder: Path, one: str, other: str) -> bool:
    """Whether two tensors of a snapshot have the same shape and the same values, of floats in any type.

    Raises what `read_weights` raises, except for Unsupported.
    """
    found = {weight.name: weight for weight in _stored(folder) if weight.name in (one, other)}
    first, second = found[one], found[other]
    return first.shape == second.shape and all(
        torch.equal(piece.float(), beside.float())
        for piece, beside in zip(first.pieces(), second.pieces(), strict=True)
    )


def _stored(folder: Path) -> Iterator[Weight]:
    if (folder / SINGLE_FILE).is_file() or (folder / INDEX_FILE).is_file():
        return _from_safetensors(folder)
    if (folder / BIN_FILE).is_file() or (folder / BIN_INDEX).is_file():
        return _from_pickles(folder)
    raise NotFound(f"The snapshot has no weights: neither {SINGLE_FILE} nor {BIN_FILE}, nor an index of either.")


def _from_safetensors(folder: Path) -> Iterator[Weight]:
    for file_name in sorted(set(read_index(folder).values())):
        path = folder / file_name
        for name, entry in read_header(path).tensors.items():
            yield Weight(name, entry.dtype, entry.shape, entry, path)


def _from_pickles(folder: Path) -> Iterator[Weight]:
    for name, (file, tensor) in read_tensors(folder).items():
        yield Weight(name, spell(tensor.dtype) or str(tensor.dtype), tuple(tensor.shape), tensor, folder / file)
