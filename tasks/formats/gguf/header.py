"""Reads and checks a GGUF file's header without an engine. Every count and length is checked before it is believed.

Format: magic, version, counts; key-value pairs; tensor infos; data, aligned. All numbers are little-endian.
Described in docs/gguf.md of the ggml project.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tasks.errors import Corrupt
from tasks.formats.gguf.tensor_types import TENSOR_TYPES, TensorType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAXIMUM_DIMENSIONS = 4
MAXIMUM_TENSOR_NAME = 64
DEFAULT_ALIGNMENT = 32
# Formats of the struct module by the identifier of a value's type; 8 is a string, 9 an array.
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
SMALLEST_PAIR = 13
SMALLEST_TENSOR = 32


@dataclass(frozen=True)
class ArrayValue:
    """An array among the metadata: only the number of its items is kept (vocabularies are long)."""

    length: int


Value = int | float | bool | str | ArrayValue


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: its dimensions as stored (the row's length first), its type, and where its bytes lie in the file."""

    name: str
    dimensions: tuple[int, ...]
    type: TensorType
    start: int

    @property
    def elements(self) -> int:
        """The number of weights."""
        return prod(self.dimensions)

    @property
    def bytes(self) -> int:
        """The bytes of its data, without padding."""
        return self.elements // self.type.block * self.type.bytes


@dataclass(frozen=True)
class Header:
    """All that a GGUF file says before its data; `size` is the file's, in bytes."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    size: int

    def text(self, key: str) -> str | None:
        """Return a string of the metadata, None where the key is missing; raises Corrupt where it is no string."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, str):
            raise Corrupt(f"{self.path.name}: {key!r} must be a string; convert the model again.")
        return value

    def number(self, key: str) -> int | float | None:
        """Return a number of the metadata, None where the key is missing; raises Corrupt where it is none."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, int | float):
            raise Corrupt(f"{self.path.name}: {key!r} must be a number; convert the model again.")
        return value

    def length(self, key: str) -> int | None:
        """Return the number of items of an array of the metadata, None where there is none."""
        value = self.metadata.get(key)
        return value.length if isinstance(value, ArrayValue) else None


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises Corrupt for a file that is no GGUF, ends too early, names a key or tensor twice, or whose tensors do not lie
    one after the other, aligned, from the header's end to the end of the file.
    """
    size = path.stat().st_size
    if size == 0:
        raise Corrupt(f"{path.name} is empty; convert the model again.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return _Reader(path, mapped).header()


class _Reader:
    """A cursor over the mapped file."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path, self.mapped, self.size, self.at = path, mapped, len(mapped), 0

    def header(self) -> Header:
        if self.take(4, "the magic bytes") != MAGIC:
            raise self.corrupt("does not begin with 'GGUF'")
        version = int(self.scalar(4))
        if version not in VERSIONS:
            raise self.corrupt(f"has version {version}, and {' and '.join(map(str, VERSIONS))} can be read")
        tensor_count = self.count(10, SMALLEST_TENSOR, "tensors")
        metadata = self.metadata(self.count(10, SMALLEST_PAIR, "key-value pairs"))
        infos = [self.info() for _ in range(tensor_count)]
        return Header(self.path, version, metadata, self.placed(infos, metadata), self.size)

    def metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self.string()
            if key in metadata:
                raise self.corrupt(f"names the key {key!r} twice")
            metadata[key] = self.value(int(self.scalar(4)), key)
        return metadata

    def value(self, kind: int, key: str) -> Value:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array(key)
        return self.scalar(kind, key)

    def array(self, key: str) -> ArrayValue:
        kind = int(self.scalar(4))
        if kind == STRING:
            length = self.count(10, 8, f"strings in {key!r}")
            for _ in range(length):
                self.skip(self.count(10, 1, f"bytes of a string in {key!r}"), key)
        elif kind in SCALARS:
            width = struct.calcsize(SCALARS[kind])
            length = self.count(10, width, f"numbers in {key!r}")
            self.skip(length * width, key)
        else:
            raise self.corrupt(f"holds an array of the unknown type {kind} in {key!r}")
        return ArrayValue(length)

    def info(self) -> tuple[str, tuple[int, ...], TensorType, int]:
        name = self.string()
        if not name or len(name.encode()) >= MAXIMUM_TENSOR_NAME:
            raise self.corrupt(f"holds a tensor with the impossible name {name[:80]!r}")
        rank = int(self.scalar(4))
        if not 1 <= rank <= MAXIMUM_DIMENSIONS:
            raise self.corrupt(f"says that tensor {name!r} has {rank} dimensions")
        dimensions = tuple(int(self.scalar(10)) for _ in range(rank))
        identifier = int(self.scalar(4))
        if identifier not in TENSOR_TYPES:
            raise self.corrupt(f"holds tensor {name!r} in the unknown type {identifier}")
        return name, dimensions, TENSOR_TYPES[identifier], int(self.scalar(10))

    def placed(
        self, infos: list[tuple[str, tuple[int, ...], TensorType, int]], metadata: dict[str, Value]
    ) -> tuple[TensorInfo, ...]:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self.corrupt(f"has the alignment {alignment!r}, which is no power of 2")
        begin = _aligned(self.at, alignment)
        expected, tensors = 0, {}
        for name, dimensions, kind, offset in infos:
            if name in tensors:
                raise self.corrupt(f"holds the tensor {name!r} twice")
            if prod(dimensions) == 0 or dimensions[0] % kind.block:
                raise self.corrupt(f"says that tensor {name!r} of type {kind.name} has the shape {list(dimensions)}")
            if offset != expected:
                raise self.corrupt(f"says that tensor {name!r} lies at {offset}, but it must lie at {expected}")
            tensor = tensors[name] = TensorInfo(name, dimensions, kind, begin + offset)
            if tensor.start + tensor.bytes > self.size:
                raise self.corrupt(f"ends before the data of tensor {name!r} does")
            expected = _aligned(offset + tensor.bytes, alignment)
        if infos and self.size > begin + expected:
            raise self.corrupt(f"has {self.size - begin - expected} bytes after its last tensor")
        return tuple(tensors.values())

    def count(self, kind: int, width: int, what: str) -> int:
        """Read a count of things that take at least `width` bytes each; they must fit into the rest of the file."""
        count = int(self.scalar(kind))
        if count * width > self.size - self.at:
            raise self.corrupt(f"says that it holds {count} {what}, more than fit into it")
        return count

    def scalar(self, kind: int, key: str = "a number") -> int | float | bool:
        if kind not in SCALARS:
            raise self.corrupt(f"holds a value of the unknown type {kind} in {key!r}")
        form = SCALARS[kind]
        (value,) = struct.unpack(form, self.take(struct.calcsize(form), key))
        assert isinstance(value, int | float)
        return value

    def string(self) -> str:
        raw = self.take(self.count(10, 1, "bytes of a string"), "a string")
        return raw.decode("utf-8", "replace")

    def take(self, count: int, what: str) -> bytes:
        begin = self.at
        self.skip(count, what)
        return self.mapped[begin : self.at]

    def skip(self, count: int, what: str) -> None:
        if count > self.size - self.at:
            raise self.corrupt(f"ends within {what!r}")
        self.at += count

    def corrupt(self, fault: str) -> Corrupt:
        return Corrupt(f"{self.path.name} {fault}; it was cut short or altered, so make or fetch it again.")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
