"""Reads the headers and the index of a safetensors checkpoint, and checks them more strictly than the library does.

A file consists of an 8-byte little-endian length, so many bytes of JSON (tensor name to dtype, shape and data_offsets),
and the tensors' bytes, without gap or overlap. The library accepts a key that occurs twice and silently drops one of
the two tensors; this module refuses it. It imports no library and reads no tensor.
"""

import json
import math
import reprlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.checkpoint.dtypes import DTYPES
from tasks.errors import FETCH_AGAIN, Corrupt

# The library's own limit. A longer header is refused before memory is allocated for it.
MAXIMUM_HEADER_BYTES = 100_000_000
# The most that the format's 64-bit offsets can address. The product of a larger shape is not computed.
MAXIMUM_ELEMENTS = 2**64
LONGEST_NAME = 255
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: its dtype as the header spells it, its shape, and its bytes as [start, end) from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class Header:
    """A checked header: the tensors in the order of their bytes, the free-form metadata, and its own bytes."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    header_bytes: int


def read_header(path: Path) -> Header:
    """Read and check one file's header; raises Corrupt with the file, the tensor and the fault."""
    file_size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _corrupt(path, f"it has {file_size} bytes, too few for a header")
        (length,) = struct.unpack("<Q", prefix)
        if length > MAXIMUM_HEADER_BYTES:
            raise _corrupt(path, f"its header claims {length} bytes, beyond the limit of {MAXIMUM_HEADER_BYTES}")
        if 8 + length > file_size:
            raise _corrupt(path, f"its header claims {length} bytes, but the file ends after {file_size}")
        raw = file.read(length)
    content = _parse(path, raw)
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _corrupt(path, "its __metadata__ is not a mapping of strings to strings")
    tensors = {name: _entry(path, name, value, 8 + length) for name, value in content.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_layout(path, ordered, 8 + length, file_size)
    return Header(tensors=ordered, metadata=metadata, header_bytes=8 + length)


def read_index(folder: Path) -> dict[str, str]:
    """Return the file of every tensor of a checkpoint (tensor name to file name), from its index or its single file.

    Raises Corrupt in three cases: there is neither; the index names a file that is missing, that lies outside the
    folder (`..`, an absolute path, a folder, a symbolic link) or that lacks the tensor; or the folder has a file or a
    tensor that the index does not name.
    """
    single = folder / SINGLE_FILE
    if not (folder / INDEX_FILE).is_file():
        if not single.is_file():
            raise Corrupt(f"The folder has neither {SINGLE_FILE} nor {INDEX_FILE}: it is not a safetensors checkpoint.")
        _check_file_name(folder, SINGLE_FILE, SINGLE_FILE)
        _check_unnamed_files(folder, {SINGLE_FILE})
        return dict.fromkeys(read_header(single).tensors, SINGLE_FILE)
    weight_map = read_weight_map(folder, INDEX_FILE)
    _check_unnamed_files(folder, set(weight_map.values()))
    for file_name in sorted(set(weight_map.values())):
        held = set(read_header(folder / file_name).tensors)
        promised = {name for name, value in weight_map.items() if value == file_name}
        if promised - held:
            what = f"it says that {file_name} holds {min(promised - held)!r}, which it does not"
            raise _corrupt(folder / INDEX_FILE, what)
        if held - promised:
            what = f"it holds {min(held - promised)!r}, which {INDEX_FILE} does not place there"
            raise _corrupt(folder / file_name, what)
    return weight_map


def read_weight_map(folder: Path, index_name: str) -> dict[str, str]:
    """Return an index's map of tensor names to file names, whatever the weight format.

    Raises Corrupt where the index holds no such map, or names a file that is missing or outside the index's folder.
    """
    path = folder / index_name
    weight_map = _parse(path, path.read_bytes()).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise _corrupt(path, "it has no 'weight_map' of tensor names to file names")
    for name in sorted(set(weight_map.values())):
        _check_file_name(folder, name, index_name)
    return dict(weight_map)


def _check_file_name(folder: Path, name: str, index_name: str) -> None:
    # Printable text can always be encoded.
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or _too_long(name):
        raise Corrupt(f"{index_name} names the file {name!r}, which is not in its own folder; do not use it.")
    path = folder / name
    if path.is_symlink():
        raise Corrupt(f"{name} is a symbolic link; weights must be plain files in the checkpoint's folder.")
    if not path.is_file():
        raise Corrupt(f"{index_name} names {name}, which is missing; ask the publisher to add it.")


def _too_long(name: str) -> bool:
    return len(name.encode()) > LONGEST_NAME


def _check_unnamed_files(folder: Path, named: Iterable[str]) -> None:
    extra = sorted({path.name for path in folder.glob("*.safetensors")} - set(named))
    if extra:
        raise Corrupt(f"The index does not name {extra[0]}, which lies beside it; fix the index or remove the file.")


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises Corrupt where a key occurs twice in an object, at any depth."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                raise _corrupt(path, f"the key {key!r} occurs twice")
            result[key] = value
        return result

    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, f"its JSON does not parse ({error})") from error
    if not isinstance(content, dict):
        raise _corrupt(path, "its JSON is not an object")
    return content


def _entry(path: Path, name: str, value: Any, data_start: int) -> TensorEntry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _corrupt(path, f"tensor {name!r} must have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _corrupt(path, f"tensor {name!r} has the unknown dtype {reprlib.repr(dtype)}")
    if not isinstance(shape, list) or not all(_is_count(size) for size in shape):
        raise _corrupt(path, f"tensor {name!r} has the shape {reprlib.repr(shape)}, which is not a list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(offset) for offset in offsets):
        raise _corrupt(
            path, f"tensor {name!r} has the data_offsets {reprlib.repr(offsets)}, which are not a pair of positions"
        )
    entry = TensorEntry(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])
    elements = _count_elements(shape)
    if elements > MAXIMUM_ELEMENTS:
        raise _corrupt(path, f"tensor {name!r} has the shape {reprlib.repr(shape)}, larger than any file")
    bits = elements * DTYPES[dtype].bits
    if bits % 8 or entry.size != bits // 8:
        raise _corrupt(
            path, f"tensor {name!r} has {entry.size} bytes, where {dtype} {reprlib.repr(shape)} needs {bits / 8:g}"
        )
    return entry


def _count_elements(shape: list[int]) -> int:
    """Multiply the sizes. Stops once the product exceeds the limit: a header of 100 MB of sizes would take hours."""
    if 0 in shape:
        return 0
    elements = 1
    for size in shape:
        elements *= size
        if elements > MAXIMUM_ELEMENTS:
            break
    return elements


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAXIMUM_ELEMENTS


def _check_layout(path: Path, tensors: Mapping[str, TensorEntry], data_start: int, file_size: int) -> None:
    position = data_start
    for name, entry in tensors.items():
        if entry.start != position:
            what = "overlaps the one before it" if entry.start < position else "leaves a gap before it"
            raise _corrupt(path, f"tensor {name!r} {what} (starts at byte {entry.start}, expected {position})")
        position = entry.end
    if position != file_size:
        what = "is cut short" if file_size < position else "goes on behind its last tensor"
        raise _corrupt(path, f"the file {what}: {file_size} bytes, where its header needs {position}")


def _corrupt(path: Path, what: str) -> Corrupt:
    return Corrupt(f"{path.name}: {what}; {FETCH_AGAIN}, or ask the publisher for a sound file.")
