"""Says what a GGUF file stores: which numbers of the source each tensor holds, and how they were changed for it.

Names are translated by gguf-py's table of names; what is done to a tensor beyond that is in changes.py, as data. The
numbers are read by gguf-py's numpy code, which is another code than llama-quantize's.
"""

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.arrays import Numbers
from tasks.checkpoint.embedding import find_lone_head
from tasks.checkpoint.model_config import CONFIG, extra_layers
from tasks.checkpoint.unused import is_unused
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt
from tasks.formats.gguf.changes import AHEAD, CONSTANTS, LEFT_OUT, change_of, divided, is_known, source_name
from tasks.formats.gguf.epsilons import check_epsilons
from tasks.formats.gguf.grids import GRIDS, WITH_IMPORTANCE
from tasks.formats.gguf.header import Header, TensorInfo, read_header
from tasks.formats.gguf.inspect import model_file
from tasks.formats.gguf.rotary_factors import ROUNDING, rotary_factors
from tasks.formats.gguf.spelling import EMBEDDING_NAME
from tasks.formats.gguf.stored_types import EMBEDDING, OUTPUT
from tasks.formats.gguf.target import IMATRIX
from tasks.formats.stored import Content, Floats, Grid, Origin, Part, Source, Stored

UNUSED = "the model's code computes it, or only training needs it"
ZEROS = "a bias of zeros, which the converter leaves out"
LAYER = re.compile(r"(.*\.)?layers\.(?P<number>\d+)\.")
EXPERT = re.compile(r"(?P<before>.*experts)\.(?P<number>\d+)\.(?P<after>.*)")
SUMS, COUNTS = ".in_sum2", ".counts"
"""What the names of the importance matrix's arrays end with: the sums of squares, and of how many tokens."""

EXPONENTIAL = 2.0**-21
"""The relative difference of two libraries' exponentials in float32 that is allowed: eight times the rounding."""

COMPUTED = "the factors of rotary frequencies, computed from its fields"
"""What was done with config.json for a tensor that holds no numbers of the weights."""

Placed = dict[str, dict[int, str]]
"""By the name of a stored tensor: the source's tensors that it holds, by their place among the experts, or 0."""


def stored_tensors(folder: Path, source: Source, bases: Mapping[str, Path]) -> Content:
    """Return what the file in `folder` stores. Raises Corrupt for a malformed header, or for another epsilon of norms.

    bases: the folder of the importance matrix with which the file was made, if it was made with one.
    """
    header = read_header(model_file(folder))
    importance = read_importance(bases[IMATRIX]) if IMATRIX in bases else {}
    architecture = header.text("general.architecture") or ""
    if is_known(architecture):
        check_epsilons(header, source.config)
    names = _translation(architecture, source)
    placed: Placed = {}
    dropped: dict[str, str] = {}
    held = {tensor.name for tensor in header.tensors}
    ahead = _layers_left_out(source, held)
    lone = _lone_head(source)
    for name, numbers in source.tensors.items():
        why = UNUSED if is_unused(name, numbers.bits.shape) else _left_out(name, ahead)
        if why:
            dropped[name] = why
        for stored, place in names(EMBEDDING_NAME if name == lone else name):
            placed.setdefault(stored, {})[place] = name
    tied = placed.get(OUTPUT, {}).get(0)
    if tied and OUTPUT not in held and source.analysis.tied_embeddings:
        dropped[tied] = "config.json ties the output head to the token embedding"
    if OUTPUT in held and OUTPUT not in placed and source.analysis.tied_embeddings:
        placed[OUTPUT] = placed.get(EMBEDDING, {})
    for name, numbers in source.tensors.items():
        if name.endswith(".bias") and not numbers.bits.any() and not any(stored in held for stored, _ in names(name)):
            dropped.setdefault(name, ZEROS)
    vocabulary = header.length("tokenizer.ggml.tokens")
    tensors = []
    for tensor in header.tensors:
        origin = _origin(tensor, architecture, placed.get(tensor.name, {}), source, dropped, vocabulary)
        tensors.append(_stored(header, tensor, origin, importance.get(tensor.name)))
    return Content(tuple(tensors), dropped, known=is_known(architecture))


def _translation(architecture: str, source: Source) -> Callable[[str], Iterator[tuple[str, int]]]:
    """Return the function from a source tensor's name to the stored tensors that hold it, with its place in them."""
    gguf = gguf_py()
    known = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    if architecture not in known:
        return _no_names
    layers = max(source.analysis.layers, 1)
    table = gguf.get_tensor_name_map(known[architecture], 2 * layers)

    def names(name: str) -> Iterator[tuple[str, int]]:
        spelled = source_name(architecture, name)
        expert = EXPERT.fullmatch(spelled)
        place = int(expert["number"]) if expert else 0
        spelled = f"{expert['before']}.{expert['after']}" if expert else spelled
        # A part that the table names without an ending is a parameter of its own.
        for one in divided(spelled):
            if found := table.get_name(one, try_suffixes=(".weight", ".bias")):
                yield str(found), place

    return names


def _lone_head(source: Source) -> str | None:
    """Return the source's output head if it is the embedding, too, which the converter calls it (see hf_to_gguf.py)."""
    tensors = {name: numbers.bits for name, numbers in source.tensors.items()}
    return find_lone_head(tensors, source.analysis.tied_embeddings)


def _no_names(name: str) -> Iterator[tuple[str, int]]:
    return iter(())


def _origin(
    tensor: TensorInfo,
    architecture: str,
    sources: Mapping[int, str],
    source: Source,
    dropped: dict[str, str],
    vocabulary: int | None,
) -> Origin | None:
    if not sources:
        factors = rotary_factors(tensor.name, source.config)
        if factors is not None:
            part = Part(CONFIG, Numbers("F32", factors))
            return Origin((part,), COMPUTED, known=is_known(architecture))
        what = CONSTANTS.get(tensor.name)
        return Origin(constant=what) if what else None
    change = change_of(architecture, tensor.name, sources[min(sources)])
    parts = []
    for place in sorted(sources):
        name = sources[place]
        numbers = source.tensors[name]
        if tensor.name in (EMBEDDING, OUTPUT) and vocabulary and len(numbers.bits) > tensor.dimensions[-1]:
            dropped[name] = f"only its first {tensor.dimensions[-1]} rows are stored: the vocabulary has no more tokens"
            numbers = numbers.seen(numbers.bits[: tensor.dimensions[-1]])
        try:
            views = list(change.views(numbers.bits, source.config, tensor.name))
        except (ValueError, ZeroDivisionError) as error:
            if is_known(architecture):
                raise Corrupt(
                    f"{name} has the shape {list(numbers.bits.shape)}, which config.json does not explain: the rows of "
                    f"{tensor.name} cannot be found in it ({error}); check the numbers of heads in config.json."
                ) from error
            # The conversion may be another one than that of the architecture's relatives.
            views = [numbers.bits]
        parts += [Part(name, numbers.seen(view)) for view in views]
    how = change.how if len(sources) == 1 else f"{len(sources)} experts in one tensor, {change.how}"
    return Origin(tuple(parts), how, change.then, known=is_known(architecture))


def read_importance(folder: Path) -> Mapping[str, Floats]:
    """Return the importance of each column of each matrix, [row length] or [experts, row length], by its name.

    It is the mean of the squared activations, as llama-quantize takes it from the file.
    """
    header = read_header(model_file(folder))
    arrays = {tensor.name: (tensor, _numbers(header, tensor)) for tensor in header.tensors if tensor.type.name == "f32"}
    found = {}
    for name, (tensor, sums) in arrays.items():
        base = name.removesuffix(SUMS)
        if base == name or base + COUNTS not in arrays:
            continue
        counts = arrays[base + COUNTS][1].reshape(-1, 1)
        rows = sums.reshape(-1, tensor.dimensions[0])
        # llama-quantize takes 1 for all columns of a matrix that no token has reached.
        means = np.where(counts > 0, rows / np.maximum(counts, 1), 1).astype(np.float32)
        found[base] = means[0] if len(means) == 1 else means
    return found


def _numbers(header: Header, tensor: TensorInfo) -> Floats:
    return np.fromfile(header.path, "<f4", tensor.elements, offset=tensor.start)


def _stored(header: Header, tensor: TensorInfo, origin: Origin | None, importance: Floats | None) -> Stored:
    kind = tensor.type
    grid = GRIDS.get(kind.name)
    if importance is not None and kind.name in WITH_IMPORTANCE:
        grid = WITH_IMPORTANCE[kind.name]
    if grid is not None and origin is not None and origin.then == "minus its exponential":
        # Libraries compute it with other last bits.
        grid = replace(grid, unit=max(grid.unit, EXPONENTIAL))
    if grid is not None and origin is not None and origin.how == COMPUTED:
        grid = replace(grid, unit=max(grid.unit, ROUNDING))
    data = mapped(header.path, tensor)
    return Stored(
        name=tensor.name,
        type=kind.name,
        shape=tuple(reversed(tensor.dimensions)),
        grid=grid or Grid(),
        read=reader(tensor, data),
        # What an unknown type costs is not known either.
        origin=replace(origin, known=False) if origin is not None and grid is None else origin,
        importance=importance,
        data=data,
    )


def reader(tensor: TensorInfo, data: NDArray[np.uint8]) -> Callable[[int, int], Floats]:
    """Return the function that reads the rows [first, last) of a tensor as float32 [last - first, row length].

    data: its bytes, as `mapped` returns them.
    """
    kind, row = tensor.type.name, tensor.dimensions[0]
    plain = {"f32": "<f4", "f16": "<f2", "f64": "<f8", "i8": "i1", "i16": "<i2", "i32": "<i4", "i64": "<i8"}.get(kind)
    if plain is not None:
        return lambda first, last: data[first:last].view(plain).astype(np.float32)
    gguf = gguf_py()
    decoder = getattr(gguf.quants, kind.upper())
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind.upper()]][1]

    def read(first: int, last: int) -> Floats:
        blocks = np.ascontiguousarray(data[first:last]).reshape(-1, size)
        decoder.init_grid()
        numbers: Floats = decoder.dequantize_blocks(blocks)
        return numbers.astype(np.float32, copy=False).reshape(-1, row)

    return read


def mapped(file: Path, tensor: TensorInfo) -> NDArray[np.uint8]:
    """Return the bytes of a tensor, [rows, bytes of a row]."""
    row = tensor.dimensions[0]
    width = row // tensor.type.block * tensor.type.bytes
    return np.memmap(file, np.uint8, "r", tensor.start, (tensor.elements // row, width))


def gguf_py() -> Any:
    """Return the module `gguf` of the llama.cpp that the set-up built; it needs numpy alone."""
    path = str(llama_cpp().tree / "gguf-py")
    if path not in sys.path:
        sys.path.insert(0, path)
    return import_module("gguf")  # not locked: it is a part of the llama.cpp sources


def _layers_left_out(source: Source, held: Collection[str]) -> Collection[int]:
    """Return the numbers of the layers that predict further tokens and of which the file holds no tensor.

    They follow the model's own layers. The converter keeps them for some architectures and leaves them out for others.
    """
    layers = source.analysis.layers
    ahead = range(layers, layers + extra_layers(source.config))
    stored = {int(layer["number"]) for name in source.tensors if (layer := LAYER.match(name))}
    return {
        number for number in stored if number in ahead and not any(name.startswith(f"blk.{number}.") for name in held)
    }


def _left_out(name: str, layers: Collection[int]) -> str | None:
    """Return why the converter leaves out a tensor of the source, or None. layers: the layers that it leaves out."""
    layer = LAYER.match(name)
    if layer and int(layer["number"]) in layers:
        return AHEAD
    return next((reason for pattern, reason in LEFT_OUT if pattern.search(name)), None)
