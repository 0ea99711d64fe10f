"""Mutants of the tensors of a safetensors file: its header is a JSON object, and the data follows."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.mutations.mutant import Mutant, replace
from tests.mutations.tensor_values import CHANGES

NUMPY = {"BF16": "bfloat16", "F16": "<f2", "F32": "<f4"}
RETYPED = {"BF16": "F16", "F16": "BF16", "F32": "I32"}

Entries = dict[str, Any]
"""The header, in which each tensor has its `data` in place of its offsets."""


def safetensors_mutants(folder: Path) -> Iterator[Mutant]:
    """Yield the mutants of every safetensors file of a folder."""
    for path in sorted(folder.glob("*.safetensors")):
        for name in read(path):
            if name != "__metadata__":
                yield from _tensor_mutants(path.name, name)


def read(path: Path) -> Entries:
    """Return a file's header with the tensors' data."""
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    found: Entries = json.loads(raw[8 : 8 + size])
    for name, entry in found.items():
        if name != "__metadata__":
            start, end = entry.pop("data_offsets")
            entry["data"] = raw[8 + size + start : 8 + size + end]
    return found


def written(entries: Entries) -> bytes:
    """Return the bytes of a file."""
    header: dict[str, Any] = {}
    data = b""
    for name, entry in entries.items():
        if name == "__metadata__":
            header[name] = entry
            continue
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"]}
        header[name]["data_offsets"] = [len(data), len(data) + len(entry["data"])]
        data += entry["data"]
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


def _tensor_mutants(file: str, name: str) -> Iterator[Mutant]:
    def mutant(change: str, edit: Callable[[Entries], None]) -> Mutant:
        def apply(folder: Path) -> None:
            entries = read(folder / file)
            edit(entries)
            replace(folder / file, written(entries))

        return Mutant(file, name, change, "tensors", apply)

    for change, numbers in CHANGES.items():

        def renumber(entries: Entries, numbers: Callable[[bytes, int, str], bytes] = numbers) -> None:
            entry = entries[name]
            entry["data"] = numbers(entry["data"], entry["shape"][0], NUMPY[entry["dtype"]])

        yield mutant(change, renumber)
    yield mutant("given another type", lambda entries: entries[name].update(dtype=RETYPED[entries[name]["dtype"]]))
    yield mutant("removed", lambda entries: entries.pop(name))
