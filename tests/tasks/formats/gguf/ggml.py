"""Quantizes rows with llama.cpp's own library, and reads them back with gguf-py, without a file."""

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.arrays import Numbers, to_float32
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.formats.gguf.grids import GRIDS, WITH_IMPORTANCE
from tasks.formats.gguf.quantizations import QUANTIZATIONS
from tasks.formats.gguf.tensors import gguf_py
from tasks.formats.stored import Content, Floats, Origin, Part, Source, Stored
from tests.tasks.formats.analyses import analysis_with

SOURCE, NAME = "model.embed_tokens.weight", "token_embd.weight"
NEED_IMPORTANCE = ("iq2_xxs", "iq2_s", "iq3_xxs")
USED = {name for quantization in QUANTIZATIONS.values() for name in quantization.types}
"""The types that a target's tensors may have."""


def cases() -> Iterator[tuple[str, bool]]:
    """Yield each type that llama-quantize makes, with whether it is made with an importance matrix."""
    for name in ("f16", *sorted(USED)):
        if name not in NEED_IMPORTANCE:
            yield name, False
        if name in WITH_IMPORTANCE:
            yield name, True


@cache
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(llama_cpp().lib / "libggml-base.so"))
    found.ggml_quantize_chunk.restype = ctypes.c_size_t
    found.ggml_quantize_chunk.argtypes = (
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
        *(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p),
    )
    return found


def bfloat16(rows: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bits of rows in bfloat16, cut off."""
    return (rows.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def quantized(kind: str, bits: NDArray[np.uint16], importance: Floats | None) -> Floats:
    """Return rows of bfloat16 as a file holds them that was made by way of float16: float32 [rows, row length]."""
    half = np.ascontiguousarray(to_float32("BF16", bits).astype(np.float16).astype(np.float32))
    if kind == "f16":
        return half
    gguf = gguf_py()
    number = gguf.GGMLQuantizationType[kind.upper()]
    block, size = gguf.GGML_QUANT_SIZES[number]
    made = np.zeros((half.size // block, size), np.uint8)
    weights = None if importance is None else importance.ctypes.data
    library().ggml_quantize_chunk(int(number), half.ctypes.data, made.ctypes.data, 0, *half.shape, weights)
    decoder = getattr(gguf.quants, kind.upper())
    decoder.init_grid()
    numbers: Floats = decoder.dequantize_blocks(made)
    return numbers.astype(np.float32).reshape(half.shape)


def described(kind: str, bits: NDArray[np.uint16], rows: Floats, importance: Floats | None) -> tuple[Content, Source]:
    """Return a file that holds `rows` in a type, and its source."""
    numbers = Numbers("BF16", bits)
    grid = GRIDS[kind] if importance is None else WITH_IMPORTANCE[kind]
    origin = Origin((Part(SOURCE, numbers),))
    tensor = Stored(NAME, kind, rows.shape, grid, lambda first, last: rows[first:last], origin, importance=importance)
    return Content((tensor,), {}), Source({SOURCE: numbers}, {}, analysis_with())
