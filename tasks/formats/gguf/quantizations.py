"""The table of quantizations that llama.cpp makes, with the bits per weight of each.

The numbers predict an artifact's size before it is made. Rows that do not divide into a type's blocks are stored in
another type, the fallback, which has its own number.
"""

import re
from dataclasses import dataclass

SUPER_BLOCK = 256
"""Elements of a row that k-quants and quantizations by lattice points pack together."""

BLOCK = 32
"""Elements of a row that the other types pack together."""


@dataclass(frozen=True)
class Quantization:
    """One file type of llama.cpp.

    file_type: its number in `llama_ftype` of llama.h; a file declares it as `general.file_type`.
    bits: expected bits per weight of the layers. Mixtures such as q4_k_m store some layers' matrices with more bits.
    output_bits: bits per weight of the output matrix, or of an embedding that is tied to it.
    embedding_bits: bits per weight of an embedding that is not tied.
    types: the tensor types of matrices whose rows divide into blocks; any other type is a fallback.
    fallback_bits: bits per weight of matrices whose row length is not a multiple of SUPER_BLOCK. None for types whose
        blocks have 32 weights.
    imatrix: whether an importance matrix is used if the recipe does not say.
    needs_imatrix: whether llama.cpp needs an importance matrix to make a usable file.
    """

    file_type: int
    bits: float
    output_bits: float
    embedding_bits: float
    types: tuple[str, ...]
    fallback_bits: float | None = None
    imatrix: bool = True
    needs_imatrix: bool = False


def _k(
    file_type: int, bits: float, embedding_bits: float, fallback_bits: float, *types: str, imatrix: bool = True
) -> Quantization:
    """Return a k-quant: blocks of 256 weights, the output matrix in q6_k."""
    return Quantization(file_type, bits, 6.5625, embedding_bits, (*types, "q6_k"), fallback_bits, imatrix)


def _i(file_type: int, bits: float, *types: str, needs_imatrix: bool = True) -> Quantization:
    """Return an i-quant (rounding to points of a lattice): blocks of 256; below 3 bits the output matrix is in q5_k."""
    types = (*types, "q4_k", "q5_k", "q6_k")
    return Quantization(file_type, bits, 6.5625, bits, types, 4.5, needs_imatrix=needs_imatrix)


QUANTIZATIONS = {
    "q4_k_m": _k(15, 4.85, 4.5, 6.0, "q4_k", "q5_k"),
    "q8_0": Quantization(7, 8.5, 8.5, 8.5, ("q8_0",), imatrix=False),
    "q5_k_m": _k(17, 5.68, 5.5, 6.5, "q5_k"),
    "q6_k": _k(18, 6.5625, 6.5625, 8.5, imatrix=False),
    "q4_k_s": _k(14, 4.55, 4.5, 5.5, "q4_k", "q5_k"),
    "q4_0": Quantization(2, 4.5, 6.5625, 4.5, ("q4_0", "q4_1", "q6_k")),
    "q4_1": Quantization(3, 5.0, 6.5625, 5.0, ("q4_1", "q6_k")),
    "q2_k": _k(10, 2.96, 2.625, 4.5, "q2_k", "q3_k", "q4_k", "q5_k"),
    "q3_k_s": _k(11, 3.45, 3.4375, 4.5, "q3_k", "q5_k"),
    "q3_k_m": _k(12, 3.9, 3.4375, 4.8, "q3_k", "q4_k", "q5_k"),
    "q3_k_l": _k(13, 4.2, 3.4375, 5.0, "q3_k", "q4_k", "q5_k"),
    "q5_k_s": _k(16, 5.5, 5.5, 6.0, "q5_k"),
    "q5_0": Quantization(8, 5.5, 6.5625, 5.5, ("q5_0", "q5_1", "q6_k")),
    "q5_1": Quantization(9, 6.0, 6.5625, 6.0, ("q5_1", "q6_k")),
    "iq4_xs": _i(30, 4.3, "iq4_xs", needs_imatrix=False),
    "iq4_nl": _i(25, 4.5, "iq4_nl", needs_imatrix=False),
    "iq3_m": _i(27, 3.66, "iq3_s", needs_imatrix=False),
    "iq3_xxs": _i(23, 3.1, "iq3_xxs", "iq3_s", "iq2_s"),
    "iq2_m": _i(29, 2.7, "iq2_s", "iq3_s"),
    "iq2_xxs": _i(19, 2.1, "iq2_xxs", "q2_k"),
}
"""By the name of the type in `llama-quantize`, in lower case. Common types come first."""


def bits_of(name: str) -> int:
    """Return the bits of a weight for which a type is named: 4 of `q4_k_m`, without the scales that a block shares."""
    return int(re.sub(r"^i?q(\d).*$", r"\1", name))
