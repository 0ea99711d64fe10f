"""Corrupts one tensor, or one field, of a GGUF file of any type: its bytes are changed where they are.

A stored block holds its scales, which are float16. A weight is a multiple of them, so scaling them scales the tensor
and rounds nothing else. A weight of type float16 counts as a scale.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.formats.gguf.header import Header, TensorInfo, read_header

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption:
    """What is done, in words for the table; `strengths` ascend, and are tried until one is seen.

    apply: changes the bytes of a file in place, given its header and the strength.
    """

    name: str
    strengths: tuple[float, ...]
    apply: Callable[[Bytes, Header, float], None]


SCALES = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0)
THETAS = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 10.0)
ALWAYS = (1.0,)
"""Of a corruption that has no strength."""


def corruptions(path: Path) -> list[Corruption]:
    """Return what is done to a file: to matrices of its middle layer, to two layers, to its rotary base."""
    header = read_header(path)
    layers = 1 + max(int(info.name.split(".")[1]) for info in header.tensors if info.name.startswith("blk."))
    middle = layers // 2
    found = []
    for role in ("attn_q", "attn_output", "ffn_down"):
        name = f"blk.{middle}.{role}.weight"
        found += [
            Corruption(f"`{name}` scaled by", SCALES, change_tensor(name, scale)),
            Corruption(f"`{name}` zeroed", ALWAYS, change_tensor(name, _zero)),
            Corruption(f"`{name}`, rows reversed", ALWAYS, change_tensor(name, _reverse)),
        ]
    # Mixtures such as q4_k_m store ffn_down of some layers with more bits, but all of these with the same.
    one, two = (f"blk.{layer}.attn_output.weight" for layer in (middle - 1, middle))
    found.append(Corruption(f"`{one}` and `{two}` exchanged", ALWAYS, _swap(one, two)))
    key = f"{header.text('general.architecture')}.rope.freq_base"
    if key in header.metadata:
        found.append(Corruption(f"`{key}` multiplied by", THETAS, _theta(key)))
    return found


def corrupted(path: Path, into: Path, corruption: Corruption, strength: float) -> None:
    """Write a corrupted copy of a file."""
    data = np.fromfile(path, np.uint8)
    corruption.apply(data, read_header(path), strength)
    data.tofile(into)


def change_tensor(
    name: str, change: Callable[[Bytes, TensorInfo, float], None]
) -> Callable[[Bytes, Header, float], None]:
    """Return what applies `change` to the bytes of one tensor of a file."""

    def apply(data: Bytes, header: Header, strength: float) -> None:
        info = _tensor(header, name)
        change(data[info.start : info.start + info.bytes], info, strength)

    return apply


def _tensor(header: Header, name: str) -> TensorInfo:
    return next(info for info in header.tensors if info.name == name)


def scale(stored: Bytes, info: TensorInfo, strength: float) -> None:
    """Multiply the scales of all blocks."""
    blocks = stored.reshape(-1, info.type.bytes)
    for place in info.type.halves:
        scales = blocks[:, place : place + 2].copy().view(np.float16)
        blocks[:, place : place + 2] = (scales.astype(np.float32) * strength).astype(np.float16).view(np.uint8)


def _zero(stored: Bytes, info: TensorInfo, strength: float) -> None:
    scale(stored, info, 0.0)


def _reverse(stored: Bytes, info: TensorInfo, strength: float) -> None:
    rows = stored.reshape(info.elements // info.dimensions[0], -1)
    rows[:] = rows[::-1].copy()


def _swap(name: str, other: str) -> Callable[[Bytes, Header, float], None]:
    def apply(data: Bytes, header: Header, strength: float) -> None:
        parts = [_tensor(header, each) for each in (name, other)]
        one, two = (data[info.start : info.start + info.bytes] for info in parts)
        assert parts[0].type == parts[1].type
        one[:], two[:] = two.copy(), one.copy()

    return apply


def _theta(key: str) -> Callable[[Bytes, Header, float], None]:
    def apply(data: Bytes, header: Header, strength: float) -> None:
        # The name, the type of the value in four bytes, and the value: a float32.
        place = data.tobytes().index(key.encode()) + len(key) + 4
        (theta,) = struct.unpack("<f", data[place : place + 4].tobytes())
        data[place : place + 4] = np.frombuffer(struct.pack("<f", theta * strength), np.uint8)

    return apply
