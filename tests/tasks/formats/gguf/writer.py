"""Writes small GGUF files byte by byte, so that tests own every one of them."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ALIGNMENT = 32
# Identifier, weights in a block and bytes of a block, by ggml.h and ggml-common.h.
TYPES = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q8_0": (8, 32, 34), "q4_k": (12, 256, 144), "q6_k": (14, 256, 210)}


def write_gguf(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, Sequence[int]],
    types: Mapping[str, str] | None = None,
) -> Path:
    """Write version 3 with the metadata and zero-filled tensors of the given dimensions.

    types: the names of the types of tensors that are not f32.
    """
    infos, offset = b"", 0
    for name, dimensions in tensors.items():
        kind, block, size = TYPES[(types or {}).get(name, "f32")]
        infos += tensor_info(name, dimensions, kind, offset)
        offset = _aligned(offset + _product(dimensions) // block * size)
    pairs = b"".join(string(key) + value(item) for key, item in metadata.items())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + pairs + infos
    path.write_bytes(head.ljust(_aligned(len(head)), b"\0") + bytes(offset))
    return path


def tensor_info(name: str, dimensions: Sequence[int], kind: int, offset: int) -> bytes:
    """Return a tensor's entry in the header."""
    return string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)


def string(text: str) -> bytes:
    """Return a string as stored: its length and its bytes."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> bytes:
    """Return a value with its type: bool, int (u32), float (f32), string, or an array of strings or of ints (i32)."""
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    if isinstance(item, int):
        return struct.pack("<II", 4, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + string(item)
    if all(isinstance(one, str) for one in item):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(string, item))
    return struct.pack(f"<IIQ{len(item)}i", 9, 5, len(item), *item)


def _product(dimensions: Sequence[int]) -> int:
    product = 1
    for dimension in dimensions:
        product *= dimension
    return product


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT
