"""The types of a tensor's elements: how safetensors and torch spell them, and how many bits one takes.

Imports no library, so that headers can be read without torch. torch is imported where its own objects are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Dtype:
    """One type.

    name: as safetensors spells it (`BF16`).
    bits: of one element; the 4- and 6-bit types have no whole number of bytes.
    long_name: as torch and configurations spell it (`bfloat16`).
    """

    name: str
    bits: int
    long_name: str


DTYPES = {
    dtype.name: dtype
    for dtype in (
        Dtype("BOOL", 8, "bool"),
        Dtype("U8", 8, "uint8"),
        Dtype("I8", 8, "int8"),
        Dtype("U16", 16, "uint16"),
        Dtype("I16", 16, "int16"),
        Dtype("U32", 32, "uint32"),
        Dtype("I32", 32, "int32"),
        Dtype("U64", 64, "uint64"),
        Dtype("I64", 64, "int64"),
        Dtype("BF16", 16, "bfloat16"),
        Dtype("F16", 16, "float16"),
        Dtype("F32", 32, "float32"),
        Dtype("F64", 64, "float64"),
        Dtype("C64", 64, "complex64"),
        Dtype("F8_E4M3", 8, "float8_e4m3fn"),
        Dtype("F8_E5M2", 8, "float8_e5m2"),
        Dtype("F8_E8M0", 8, "float8_e8m0fnu"),
        Dtype("F8_E4M3FNUZ", 8, "float8_e4m3fnuz"),
        Dtype("F8_E5M2FNUZ", 8, "float8_e5m2fnuz"),
        Dtype("F6_E2M3", 6, "float6_e2m3fn"),
        Dtype("F6_E3M2", 6, "float6_e3m2fn"),
        # torch packs two of these into one element, so its own type is no element's.
        Dtype("F4", 4, "float4_e2m1fn"),
    )
}
"""All types that safetensors has, by its name for them."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types in which models are trained; a smaller float is a quantization's storage."""


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's type of that name of safetensors; raises KeyError for one that torch has not."""
    import torch

    found = getattr(torch, DTYPES[name].long_name, None)
    if not isinstance(found, torch.dtype):
        raise KeyError(name)
    return found


def spell(dtype: torch.dtype) -> str | None:
    """Return safetensors' name of torch's type, None for one that safetensors cannot hold."""
    long_name = str(dtype).removeprefix("torch.")
    return next((known.name for known in DTYPES.values() if known.long_name == long_name), None)
