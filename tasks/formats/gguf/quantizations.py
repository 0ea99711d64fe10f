"""The quantizations that llama.cpp makes: what each costs in bits, and what becomes of matrices it cannot hold."""

from dataclasses import dataclass

SUPER_BLOCK = 256
"""Elements of a row that k-quants and quantizations by lattice points pack together."""


@dataclass(frozen=True)
class Quantization:
    """One file type of llama.cpp.

    bits: expected bits per weight of the layers (the mixtures give some matrices more, by their place).
    output_bits: those of the output matrix, which a tied embedding takes too.
    embedding_bits: those of an embedding that is not tied.
    types: tensor types that a file of this kind is meant to hold; another one is a fallback.
    fallback_bits: bits per weight of matrices whose rows are no multiple of SUPER_BLOCK; None where rows of 32 do.
    imatrix: whether an importance matrix is used where the recipe does not say.
    needs_imatrix: whether llama.cpp makes nothing usable without one.
    """

    bits: float
    output_bits: float
    embedding_bits: float
    types: tuple[str, ...]
    fallback_bits: float | None = None
    imatrix: bool = True
    needs_imatrix: bool = False


def _k(bits: float, embedding_bits: float, fallback_bits: float, *types: str, imatrix: bool = True) -> Quantization:
    """A k-quant: super-blocks of 256, the output matrix in q6_k."""
    return Quantization(bits, 6.5625, embedding_bits, (*types, "q6_k"), fallback_bits, imatrix)


def _i(bits: float, *types: str, needs_imatrix: bool = True) -> Quantization:
    """A quantization by lattice points: super-blocks of 256; below 3 bits the output matrix is in q5_k."""
    return Quantization(bits, 6.5625, bits, (*types, "q4_k", "q5_k", "q6_k"), 4.5, needs_imatrix=needs_imatrix)


QUANTIZATIONS = {
    "q4_k_m": _k(4.85, 4.5, 6.0, "q4_k", "q5_k"),
    "q8_0": Quantization(8.5, 8.5, 8.5, ("q8_0",), imatrix=False),
    "q5_k_m": _k(5.68, 5.5, 6.5, "q5_k"),
    "q6_k": _k(6.5625, 6.5625, 8.5, imatrix=False),
    "q4_k_s": _k(4.55, 4.5, 5.5, "q4_k", "q5_k"),
    "q4_0": Quantization(4.5, 6.5625, 4.5, ("q4_0", "q4_1", "q6_k")),
    "q4_1": Quantization(5.0, 6.5625, 5.0, ("q4_1", "q6_k")),
    "q2_k": _k(2.96, 2.625, 4.5, "q2_k", "q3_k", "q4_k"),
    "q3_k_s": _k(3.45, 3.4375, 4.5, "q3_k"),
    "q3_k_m": _k(3.9, 3.4375, 4.8, "q3_k", "q4_k", "q5_k"),
    "q3_k_l": _k(4.2, 3.4375, 5.0, "q3_k", "q5_k"),
    "q5_k_s": _k(5.5, 5.5, 6.0, "q5_k"),
    "q5_0": Quantization(5.5, 6.5625, 5.5, ("q5_0", "q5_1", "q6_k")),
    "q5_1": Quantization(6.0, 6.5625, 6.0, ("q5_1", "q6_k")),
    "iq4_xs": _i(4.3, "iq4_xs", needs_imatrix=False),
    "iq4_nl": _i(4.5, "iq4_nl", needs_imatrix=False),
    "iq3_m": _i(3.66, "iq3_s", needs_imatrix=False),
    "iq3_xxs": _i(3.1, "iq3_xxs", "iq3_s", "iq2_s"),
    "iq2_m": _i(2.7, "iq2_s", "iq3_s"),
    "iq2_xxs": _i(2.1, "iq2_xxs", "q2_k"),
}
"""By the name that `llama-quantize` takes, in lower case; the common ones first."""
