"""Reads and checks the header of a GGUF file, without an engine.

The header comes from a file that may be malformed, so each count and length is checked against the file's size before
it is used. Format (docs/gguf.md of the ggml project): magic, version, counts; key-value pairs; tensor infos; tensor
data, aligned. All numbers are little-endian.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.gguf.tensor_types import TENSOR_TYPES, TensorType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAXIMUM_DIMENSIONS = 4
MAXIMUM_TENSOR_NAME = 64
DEFAULT_ALIGNMENT = 32
# The struct format of each value type, by its identifier in the file. 8 is a string and 9 an array.
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
# Before the bytes of a string stands their number.
LENGTH = struct.Struct(SCALARS[10])
# The fewest bytes that a key-value pair and a tensor info can take.
SMALLEST_PAIR = 13
SMALLEST_TENSOR = 32


RECURRENT = ("ssm", "wkv", "shortconv")
"""Groups of keys, behind the architecture's name, that only models with recurrent layers have."""


@dataclass(frozen=True)
class ArrayValue:
    """An array in the metadata. Only the number of its items is kept, because vocabularies are long."""

    length: int


Value = int | float | bool | str | ArrayValue


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the file.

    dimensions: as stored: the length of a row comes first.
    start: the offset of its first byte in the file.
    """

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
        """The size of its data in bytes, without padding."""
        return self.elements // self.type.block * self.type.bytes


@dataclass(frozen=True)
class Header:
    """The header of a GGUF file: its metadata and the list of its tensors. `size` is the file's size in bytes."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    size: int

    def text(self, key: str) -> str | None:
        """Return a string of the metadata, or None if the key is missing. Raises Corrupt for any other type."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, str):
            raise Corrupt(f"{self.path.name}: {key!r} must be a string; {MAKE_AGAIN}.")
        return value

    def number(self, key: str) -> int | float | None:
        """Return a number of the metadata, or None if the key is missing. Raises Corrupt for any other type."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, int | float):
            raise Corrupt(f"{self.path.name}: {key!r} must be a number; {MAKE_AGAIN}.")
        return value

    @property
    def latent_attention(self) -> bool:
        """Whether keys and values are stored as one latent vector, as in DeepSeek-V2 (see serving.py of llama.cpp)."""
        return f"{self.text('general.architecture')}.attention.key_length_mla" in self.metadata

    @property
    def recurrent(self) -> bool:
        """Whether layers keep a state for each sequence (Mamba, RWKV, short convolutions), in all layers or in some."""
        architecture = self.text("general.architecture")
        return any(key.startswith(tuple(f"{architecture}.{kind}." for kind in RECURRENT)) for key in self.metadata)

    def length(self, key: str) -> int | None:
        """Return the number of items of an array in the metadata, or None if there is no such array."""
        value = self.metadata.get(key)
        return value.length if isinstance(value, ArrayValue) else None


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises Corrupt for a file that is missing or not GGUF, ends too early, or has a key or tensor name twice. Also
    raises Corrupt unless the tensors fill the file from the header to its end, in order, aligned and without gaps.
    """
    size = path.stat().st_size if path.is_file() else 0
    if size == 0:
        raise Corrupt(f"{path.name} is empty or missing; {MAKE_AGAIN}.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return _Reader(path, mapped).header()


class _Reader:
    """A cursor over the memory-mapped file."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path, self.mapped, self.size, self.at = path, mapped, len(mapped), 0

    def header(self) -> Header:
        if self.take(4, "the magic bytes") != MAGIC:
            raise self.corrupt("does not begin with 'GGUF'")
        version = int(self.scalar(4))
        if version not in VERSIONS:
            raise self.corrupt(f"has version {version}; only versions {' and '.join(map(str, VERSIONS))} are supported")
        tensor_count = self.count(10, SMALLEST_TENSOR, "tensors")
        metadata = self.metadata(self.count(10, SMALLEST_PAIR, "key-value pairs"))
        infos = [self.info() for _ in range(tensor_count)]
        return Header(self.path, version, metadata, self.placed(infos, metadata), self.size)

    def metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self.string()
            if key in metadata:
                raise self.corrupt(f"has the key {key!r} twice")
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
            self.skip_strings(length, key)
        elif kind in SCALARS:
            width = struct.calcsize(SCALARS[kind])
            length = self.count(10, width, f"numbers in {key!r}")
            self.skip(length * width, key)
        else:
            raise self.corrupt(f"has an array of the unknown type {kind} in {key!r}")
        return ArrayValue(length)

    def info(self) -> tuple[str, tuple[int, ...], TensorType, int]:
        name = self.string()
        if not name or len(name.encode()) >= MAXIMUM_TENSOR_NAME:
            raise self.corrupt(f"has a tensor with the invalid name {name[:80]!r}")
        rank = int(self.scalar(4))
        if not 1 <= rank <= MAXIMUM_DIMENSIONS:
            raise self.corrupt(f"gives tensor {name!r} {rank} dimensions, not 1 to {MAXIMUM_DIMENSIONS}")
        dimensions = tuple(int(self.scalar(10)) for _ in range(rank))
        identifier = int(self.scalar(4))
        if identifier not in TENSOR_TYPES:
            raise self.corrupt(f"has tensor {name!r} in the unknown type {identifier}")
        return name, dimensions, TENSOR_TYPES[identifier], int(self.scalar(10))

    def placed(
        self, infos: list[tuple[str, tuple[int, ...], TensorType, int]], metadata: dict[str, Value]
    ) -> tuple[TensorInfo, ...]:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self.corrupt(f"has the alignment {alignment!r}, which is not a power of 2")
        begin = _aligned(self.at, alignment)
        expected, tensors = 0, {}
        for name, dimensions, kind, offset in infos:
            if name in tensors:
                raise self.corrupt(f"has the tensor {name!r} twice")
            if prod(dimensions) == 0 or dimensions[0] % kind.block:
                raise self.corrupt(f"gives tensor {name!r} of type {kind.name} the invalid shape {list(dimensions)}")
            if offset != expected:
                raise self.corrupt(f"puts tensor {name!r} at offset {offset}, but it must be at {expected}")
            tensor = tensors[name] = TensorInfo(name, dimensions, kind, begin + offset)
            if tensor.start + tensor.bytes > self.size:
                raise self.corrupt(f"ends inside the data of tensor {name!r}")
            expected = _aligned(offset + tensor.bytes, alignment)
        if infos and self.size > begin + expected:
            raise self.corrupt(f"has {self.size - begin - expected} bytes after its last tensor")
        return tuple(tensors.values())

    def count(self, kind: int, width: int, what: str) -> int:
        """Read a count. Its items take at least `width` bytes each and must fit into the rest of the file."""
        count = int(self.scalar(kind))
        if count * width > self.size - self.at:
            raise self.corrupt(f"claims {count} {what}, more than fit into the file")
        return count

    def scalar(self, kind: int, key: str = "a number") -> int | float | bool:
        if kind not in SCALARS:
            raise self.corrupt(f"has a value of the unknown type {kind} in {key!r}")
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
            raise self.corrupt(f"ends inside {what!r}")
        self.at += count

    def skip_strings(self, count: int, key: str) -> None:
        # A vocabulary has up to a million strings, and a header is read often: this loop calls nothing of ours.
        read, mapped, at, size = LENGTH.unpack_from, self.mapped, self.at, self.size
        for _ in range(count):
            if size - at < LENGTH.size:
                raise self.corrupt(f"ends inside the strings of {key!r}")
            (length,) = read(mapped, at)
            at += LENGTH.size
            if length > size - at:
                raise self.corrupt(f"claims {length} bytes of a string in {key!r}, more than fit into the file")
            at += length
        self.at = at

    def corrupt(self, fault: str) -> Corrupt:
        return Corrupt(f"{self.path.name} {fault}; the file was truncated or altered; {MAKE_AGAIN}.")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
