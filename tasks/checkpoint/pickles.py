"""Weights that were pickled: read with torch's own restricted unpickler, which builds tensors and nothing else."""

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
"""How many bytes of tensors one byte of a file may give: an output head that is tied to the embedding is its copy."""


def weight_files(folder: Path) -> list[str]:
    """Return the files of the weights, from the index or the single file; raises Corrupt naming one that is missing."""
    if not (folder / BIN_INDEX).is_file():
        return [BIN_FILE]
    return sorted(set(read_weight_map(folder, BIN_INDEX).values()))


def load_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a file's tensors by name, mapped into memory; raises Refused for anything that is no tensor."""
    try:
        content = _load(path)
    except Exception as error:  # torch's unpickler raises whatever its parts do for bytes that are no pickle
        why = reason(str(error).partition(". ")[0]) or type(error).__name__
        raise Refused(
            f"{path.name} does not load as plain tensors ({why}); ask the publisher for safetensors, "
            "for loading it otherwise could run code."
        ) from error
    if not isinstance(content, dict):
        raise Refused(f"{path.name} holds a {type(content).__name__}, no mapping of names to tensors; do not use it.")
    size, most = 0, MOST_COPIES * path.stat().st_size
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise Refused(
                f"{path.name} holds {reprlib.repr(name)}, which is no tensor but a {type(value).__name__}; "
                "do not use it."
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise Refused(f"{path.name}: tensor {reprlib.repr(name)} has no plain numbers; do not use this file.")
        size += value.nbytes
        if size > most:
            raise Refused(
                f"{path.name}: with tensor {reprlib.repr(name)}, what it holds takes more than {MOST_COPIES} times the "
                "file's own bytes, for the same ones are used again and again; do not use this file."
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
            raise Corrupt(f"{file}: tensor {name!r} has the type {value.dtype}, which safetensors cannot hold.")
        shapes[name] = Tensor(dtype, tuple(value.shape), value.nbytes, file)
    return shapes


def _load(path: Path) -> object:
    """Files from before torch 1.6 are no zip archives, and cannot be mapped."""
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        _check_archive(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)


def _check_archive(path: Path) -> None:
    """Raise Refused for an archive that is larger than its file when unpacked; torch writes its members as they are."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
    if packed or sum(member.file_size for member in members) > path.stat().st_size:
        what = f"the packed member {reprlib.repr(packed[0])}" if packed else "members that overlap"
        raise Refused(f"{path.name} is an archive with {what}, as torch writes none; do not use this file.")
