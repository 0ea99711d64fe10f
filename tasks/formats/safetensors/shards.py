"""Writes weights as bf16 safetensors shards, with their index.

Each weight is read, converted and written in pieces, so memory never holds a whole shard. File format: 8 bytes with
the header's length (little-endian), the header as JSON, then the tensors' bytes; see the safetensors project.
"""

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

from tasks.checkpoint.dtypes import DTYPES, FLOATS
from tasks.checkpoint.headers import INDEX_FILE, SINGLE_FILE
from tasks.checkpoint.tensors import Weight
from tasks.errors import Corrupt


def stored_dtype(weight: Weight) -> str:
    """Return the dtype in which a weight is written: BF16 for floats; integers and booleans keep theirs."""
    return "BF16" if weight.dtype in FLOATS else weight.dtype


def stored_bytes(weight: Weight) -> int:
    """Return how many bytes a weight takes in the file."""
    return weight.elements * DTYPES[stored_dtype(weight)].bits // 8


def split_into_shards(weights: Sequence[Weight], limit: int) -> list[list[Weight]]:
    """Split the weights, in their order, into shards of at most `limit` bytes. A larger weight gets its own shard."""
    shards: list[list[Weight]] = []
    room = 0
    for weight in weights:
        size = stored_bytes(weight)
        if not shards or size > room:
            shards.append([])
            room = limit
        shards[-1].append(weight)
        room -= size
    return shards


def write_shards(output: Path, shards: Sequence[Sequence[Weight]], progress: Callable[[str, float], None]) -> list[str]:
    """Write the shards and, if there are several, their index. Return the file names.

    progress: is called before each shard with its file name and the share of all bytes written so far, 0 to 1.

    Raises Corrupt, with the tensor's name, if a value is NaN or infinite, or too large for bf16.
    """
    names = [SINGLE_FILE]
    if len(shards) > 1:
        names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    total = sum(stored_bytes(weight) for shard in shards for weight in shard)
    done = 0
    for name, shard in zip(names, shards, strict=True):
        progress(name, done / max(1, total))
        _write_shard(output / name, shard)
        done += sum(stored_bytes(weight) for weight in shard)
    if len(shards) > 1:
        weight_map = {weight.name: name for name, shard in zip(names, shards, strict=True) for weight in shard}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (output / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return names


def to_bf16(values: torch.Tensor, name: str) -> torch.Tensor:
    """Round to the nearest bf16, ties to even. Raises Corrupt, with `name`, for NaN, infinity and overflow."""
    if not bool(values.isfinite().all()):
        kind = "NaN" if bool(values.isnan().any()) else "an infinite value"
        raise Corrupt(f"Tensor {name!r} contains {kind}; the checkpoint is damaged; ask its publisher to fix it.")
    rounded = values.to(torch.bfloat16)
    if not bool(rounded.isfinite().all()):
        worst = float(values.abs().max())
        raise Corrupt(
            f"Tensor {name!r} holds {worst:.4g}, which is too large for bf16; leave safetensors-bf16 out of the recipe."
        )
    return rounded


def _write_shard(path: Path, weights: Sequence[Weight]) -> None:
    # Wider dtypes first: each tensor then starts at a multiple of its element size, as memory-mapping readers need.
    ordered = sorted(weights, key=lambda weight: -DTYPES[stored_dtype(weight)].bits)
    # transformers rejects a file whose metadata does not name the framework.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for weight in ordered:
        end = position + stored_bytes(weight)
        header[weight.name] = {
            "dtype": stored_dtype(weight),
            "shape": list(weight.shape),
            "data_offsets": [position, end],
        }
        position = end
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for weight in ordered:
            for piece in _converted(weight):
                _write(file, piece)


def _converted(weight: Weight) -> Iterator[torch.Tensor]:
    for piece in weight.pieces():
        yield to_bf16(piece, weight.name) if weight.dtype in FLOATS else piece


def _write(file: BinaryIO, piece: torch.Tensor) -> None:
    """Write the bytes of a flat tensor. The format is little-endian, and so are all supported hosts."""
    file.write(piece.contiguous().view(torch.uint8).numpy().data)
