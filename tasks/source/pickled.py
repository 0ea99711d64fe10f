"""Weights that were pickled: read with torch's own restricted unpickler, which builds tensors and nothing else."""

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from tasks.errors import Corrupt, Refused
from tasks.source.snapshot import Tensor

SPELLED = {
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
"""The names that safetensors has for torch's types."""


def weight_files(folder: Path) -> list[str]:
    """Return the files of the weights, from the index or the single file; raises Corrupt naming one that is missing."""
    index = folder / "pytorch_model.bin.index.json"
    if not index.is_file():
        return ["pytorch_model.bin"]
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{index.name} has no 'weight_map'; ask its publisher to mend it.") from error
    for name in names:
        if "/" in name or "\\" in name or (folder / name).is_symlink() or not (folder / name).is_file():
            raise Corrupt(f"{index.name} names {name!r}, which is no file of the snapshot; fetch it again.")
    return names


def load_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a file's tensors by name, mapped into memory; raises Refused for anything that is no tensor."""
    try:
        content = _load(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Refused(
            f"{path.name} does not load as plain tensors ({first}); ask its publisher for safetensors, "
            "for loading it otherwise could run code."
        ) from error
    if not isinstance(content, dict):
        raise Refused(f"{path.name} holds a {type(content).__name__}, no mapping of names to tensors; do not use it.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise Refused(
                f"{path.name} holds {name!r}, which is no tensor but a {type(value).__name__}; do not use it."
            )
        yield name, value


def read_shapes(folder: Path) -> Mapping[str, Tensor]:
    """Return type, shape and place of every tensor of a folder's pickled weights."""
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        for name, value in load_tensors(folder / file):
            if name in tensors:
                raise Corrupt(
                    f"{file} holds {name!r}, which {tensors[name].file} has, too; ask its publisher to mend it."
                )
            if value.dtype not in SPELLED:
                raise Corrupt(f"{file}: tensor {name!r} has the type {value.dtype}, which safetensors cannot hold.")
            tensors[name] = Tensor(SPELLED[value.dtype], tuple(value.shape), value.nbytes, file)
    return tensors


def _load(path: Path) -> object:
    """Files from before torch 1.6 are no zip archives, and cannot be mapped."""
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
