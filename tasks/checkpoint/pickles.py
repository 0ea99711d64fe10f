"""Reads pickled weights with torch's restricted unpickler, which builds tensors and nothing else."""

import reprlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from tasks.checkpoint.dtypes import spell
from tasks.checkpoint.headers import read_weight_map
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.tensor import Tensor
from tasks.errors import Corrupt, Refused

BIN_FILE, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"

MOST_COPIES = 2
"""How many bytes of tensors one byte of a file may give. A tied output head shows the embedding's bytes again."""


def weight_files(folder: Path) -> list[str]:
    """Return the names of the weights' files, from the index or the single file; raises Corrupt for a missing file."""
    if not (folder / BIN_INDEX).is_file():
        return [BIN_FILE]
    return sorted(set(read_weight_map(folder, BIN_INDEX).values()))


def load_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a file's tensors by name, mapped into memory; raises Refused for anything that is not a plain tensor."""
    try:
        content = _load(path)
    except Exception as error:  # torch's unpickler raises errors of many types for bytes that are not a pickle
        why = reason(str(error).partition(". ")[0]) or type(error).__name__
        raise Refused(
            f"{path.name} does not load as plain tensors ({why}); loading it otherwise could run code. "
            "Ask the publisher for safetensors."
        ) from error
    if not isinstance(content, dict):
        raise Refused(
            f"{path.name} holds a {type(content).__name__}, not a mapping of names to tensors; do not use this file."
        )
    size, most = 0, MOST_COPIES * path.stat().st_size
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise Refused(
                f"{path.name} holds {reprlib.repr(name)}, which is a {type(value).__name__} and not a tensor; "
                "do not use this file."
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise Refused(
                f"{path.name}: tensor {reprlib.repr(name)} is not stored as plain numbers; do not use this file."
            )
        size += value.nbytes
        if size > most:
            raise Refused(
                f"{path.name}: up to tensor {reprlib.repr(name)}, the tensors take more than {MOST_COPIES} times the "
                "file's own bytes, because several of them share the same bytes; do not use this file."
            )
        yield name, value


def read_tensors(folder: Path) -> dict[str, tuple[str, torch.Tensor]]:
    """Return every tensor of a folder's pickled weights by name, each with its file; mapped into memory, not read.

    Raises Refused where a file holds anything but tensors, and Corrupt where the files and their index disagree.
    """
    tensors: dict[str, tuple[str, torch.Tensor]] = {}
    for file in weight_files(folder):
        for name, value in load_tensors(folder / file):
            if name in tensors:
                raise Corrupt(
                    f"Both {tensors[name][0]} and {file} hold tensor {reprlib.repr(name)}; ask the publisher to fix it."
                )
            tensors[name] = (file, value)
    if (folder / BIN_INDEX).is_file():
        promised = read_weight_map(folder, BIN_INDEX)
        if odd := {(name, file) for name, (file, _) in tensors.items()} ^ set(promised.items()):
            name, file = min(odd)
            raise Corrupt(
                f"{BIN_INDEX} and {file} disagree about tensor {reprlib.repr(name)}; ask the publisher to fix it."
            )
    return tensors


def read_shapes(folder: Path) -> Mapping[str, Tensor]:
    """Return type, shape and file of every tensor of a folder's pickled weights; raises as `read_tensors` does, and
    Corrupt for a type that safetensors does not have.
    """
    shapes = {}
    for name, (file, value) in read_tensors(folder).items():
        dtype = spell(value.dtype)
        if dtype is None:
            raise Corrupt(
                f"{file}: tensor {name!r} has the type {value.dtype}, which safetensors cannot hold; "
                "choose another model."
            )
        shapes[name] = Tensor(dtype, tuple(value.shape), value.nbytes, file)
    return shapes


def _load(path: Path) -> object:
    """Load a file. One from before torch 1.6 is not a zip archive and cannot be mapped."""
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        _check_archive(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)


def _check_archive(path: Path) -> None:
    """Raise Refused for an archive that unpacks to more than its file's size; torch stores members uncompressed."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
    if packed or sum(member.file_size for member in members) > path.stat().st_size:
        what = f"the compressed member {reprlib.repr(packed[0])}" if packed else "overlapping members"
        raise Refused(f"{path.name} is an archive with {what}, which torch never writes; do not use this file.")
