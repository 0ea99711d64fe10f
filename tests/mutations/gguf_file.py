"""Reads a GGUF file as what it says, and writes it again; mutants of its metadata and of its tensors.

Written apart from the product's reader. Format: docs/gguf.md of the ggml project.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from tests.mutations.json_fields import entries, exchange, is_table
from tests.mutations.mutant import Mutant
from tests.mutations.mutant import replace as rewrite
from tests.mutations.tensor_values import CHANGES
from tests.mutations.values import changed

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
ALIGNMENT = 32
NUMBERS = {0: "<f4", 1: "<f2", 30: "bfloat16", 8: "q8_0"}
"""By the identifiers of the types F32, F16, BF16 and Q8_0: their names in tensor_values.py."""

BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 8: (32, 34)}
"""By the same identifiers: how many numbers are packed together, and into how many bytes."""

RETYPED = {0: 26, 1: 30, 30: 1, 8: 24}
"""Another type, of the same width where there is one: I32 for F32, BF16 for F16, F16 for BF16, I8 for Q8_0."""


@dataclass(frozen=True)
class Field:
    """A value of the metadata: its type, that of its items where it is an array, and itself."""

    kind: int
    items: int | None
    value: Any


@dataclass(frozen=True)
class GgufTensor:
    """A tensor: dimensions with a row's length first, type, and data."""

    dimensions: tuple[int, ...]
    kind: int
    data: bytes

    @property
    def rows(self) -> int:
        """The number of rows; of numbers, where it has one dimension."""
        return prod(self.dimensions[1:]) if len(self.dimensions) > 1 else self.dimensions[0]


@dataclass(frozen=True)
class GgufFile:
    """A whole file."""

    metadata: dict[str, Field]
    tensors: dict[str, GgufTensor]


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def string(self) -> str:
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind: int) -> Any:
        return self.string() if kind == STRING else self.number(SCALARS[kind])

    def field(self) -> Field:
        kind = self.number("I")
        if kind != ARRAY:
            return Field(kind, None, self.value(kind))
        items = self.number("I")
        return Field(kind, items, [self.value(items) for _ in range(self.number("Q"))])


def read(path: Path) -> GgufFile:
    """Read a sound file of version 3."""
    cursor = _Cursor(path.read_bytes())
    assert cursor.data[:4] == b"GGUF"
    cursor.at = 8
    tensor_count, field_count = cursor.number("Q"), cursor.number("Q")
    metadata = {cursor.string(): cursor.field() for _ in range(field_count)}
    infos = []
    for _ in range(tensor_count):
        name = cursor.string()
        dimensions = tuple(cursor.number("Q") for _ in range(cursor.number("I")))
        infos.append((name, dimensions, cursor.number("I"), cursor.number("Q")))
    begin = _aligned(cursor.at)
    tensors = {}
    for name, dimensions, kind, offset in infos:
        packed, width = BLOCKS[kind]
        size = prod(dimensions) // packed * width
        tensors[name] = GgufTensor(dimensions, kind, cursor.data[begin + offset : begin + offset + size])
    return GgufFile(metadata, tensors)


def written(file: GgufFile) -> bytes:
    """Return the file's bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(file.tensors), len(file.metadata))
    for name, field in file.metadata.items():
        head += _string(name) + struct.pack("<I", field.kind) + _value(field)
    data = b""
    for name, tensor in file.tensors.items():
        form = f"<I{len(tensor.dimensions)}QIQ"
        head += _string(name)
        head += struct.pack(form, len(tensor.dimensions), *tensor.dimensions, tensor.kind, len(data))
        data += tensor.data.ljust(_aligned(len(tensor.data)), b"\0")
    return head.ljust(_aligned(len(head)), b"\0") + data


def gguf_mutants(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants of the folder's one GGUF file."""
    (path,) = folder.glob("*.gguf")
    file = read(path)
    for key, field in file.metadata.items():
        yield from _field_mutants(path.name, key, field)
    for name, tensor in file.tensors.items():
        yield from _tensor_mutants(path.name, name, tensor)


def _field_mutants(file: str, key: str, field: Field) -> Iterator[Mutant]:
    def edit(place: str, change: str, new: Callable[[Any], Any]) -> Mutant:
        def apply(content: GgufFile) -> GgufFile:
            old = content.metadata[key]
            return replace(content, metadata={**content.metadata, key: replace(old, value=new(old.value))})

        return _mutant(file, place, change, "metadata", apply)

    yield _mutant(
        file,
        key,
        "removed",
        "metadata",
        lambda content: replace(content, metadata={k: v for k, v in content.metadata.items() if k != key}),
    )
    if field.kind != ARRAY:
        yield edit(key, "changed", changed)
        return
    places = entries(field.value) if is_table(field.value) else list(range(len(field.value)))
    for place in map(int, places):
        yield edit(f"{key}.{place}", "changed", partial(_changed_at, place))
        yield edit(f"{key}.{place}", "removed", partial(_without, place))
        if place + 1 < len(field.value) and field.value[place] != field.value[place + 1]:
            yield edit(f"{key}.{place}", "exchanged with the next", partial(_exchanged, place))


def _tensor_mutants(file: str, name: str, tensor: GgufTensor) -> Iterator[Mutant]:
    def edit(change: str, new: Callable[[GgufTensor], GgufTensor]) -> Mutant:
        def apply(content: GgufFile) -> GgufFile:
            return replace(content, tensors={**content.tensors, name: new(content.tensors[name])})

        return _mutant(file, name, change, "tensors", apply)

    for change, numbers in CHANGES.items():
        yield edit(
            change,
            partial(_renumbered, numbers),
        )
    yield edit("given another type", lambda old: replace(old, kind=RETYPED[old.kind]))
    yield _mutant(
        file,
        name,
        "removed",
        "tensors",
        lambda content: replace(content, tensors={k: v for k, v in content.tensors.items() if k != name}),
    )


def _mutant(file: str, place: str, change: str, kind: str, edit: Callable[[GgufFile], GgufFile]) -> Mutant:
    def apply(folder: Path) -> None:
        rewrite(folder / file, written(edit(read(folder / file))))

    return Mutant(file, place, change, kind, apply)


def _renumbered(numbers: Callable[[bytes, int, str], bytes], old: GgufTensor) -> GgufTensor:
    return replace(old, data=numbers(old.data, old.rows, NUMBERS[old.kind]))


def _changed_at(at: int, values: list[Any]) -> list[Any]:
    return [*values[:at], changed(values[at]), *values[at + 1 :]]


def _without(at: int, values: list[Any]) -> list[Any]:
    return values[:at] + values[at + 1 :]


def _exchanged(at: int, values: list[Any]) -> list[Any]:
    new = list(values)
    exchange(new, at)
    return new


def _value(field: Field) -> bytes:
    if field.kind != ARRAY:
        return _one(field.kind, field.value)
    assert field.items is not None
    return struct.pack("<IQ", field.items, len(field.value)) + b"".join(_one(field.items, one) for one in field.value)


def _one(kind: int, value: Any) -> bytes:
    return _string(value) if kind == STRING else struct.pack(f"<{SCALARS[kind]}", value)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT
