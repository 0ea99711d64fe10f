"""The tensor types of a GGUF file: the size of a block, and the offsets of the float16 scales in it.

Numbers and layouts are those of ggml's block structures (ggml-common.h); identifiers are part of the file format.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorType:
    """One storage type.

    block: elements in a block; the length of a row must be a multiple of it.
    bytes: size of a block in bytes.
    halves: byte offsets, inside a block, of its float16 numbers (scales and minima).
    """

    name: str
    block: int
    bytes: int
    halves: tuple[int, ...] = ()

    @property
    def quantized(self) -> bool:
        """Whether several elements share a block."""
        return self.block > 1


TENSOR_TYPES = {
    0: TensorType("f32", 1, 4),
    1: TensorType("f16", 1, 2, (0,)),
    2: TensorType("q4_0", 32, 18, (0,)),
    3: TensorType("q4_1", 32, 20, (0, 2)),
    6: TensorType("q5_0", 32, 22, (0,)),
    7: TensorType("q5_1", 32, 24, (0, 2)),
    8: TensorType("q8_0", 32, 34, (0,)),
    10: TensorType("q2_k", 256, 84, (80, 82)),
    11: TensorType("q3_k", 256, 110, (108,)),
    12: TensorType("q4_k", 256, 144, (0, 2)),
    13: TensorType("q5_k", 256, 176, (0, 2)),
    14: TensorType("q6_k", 256, 210, (208,)),
    16: TensorType("iq2_xxs", 256, 66, (0,)),
    17: TensorType("iq2_xs", 256, 74, (0,)),
    18: TensorType("iq3_xxs", 256, 98, (0,)),
    19: TensorType("iq1_s", 256, 50, (0,)),
    20: TensorType("iq4_nl", 32, 18, (0,)),
    21: TensorType("iq3_s", 256, 110, (0,)),
    22: TensorType("iq2_s", 256, 82, (0,)),
    23: TensorType("iq4_xs", 256, 136, (0,)),
    24: TensorType("i8", 1, 1),
    25: TensorType("i16", 1, 2),
    26: TensorType("i32", 1, 4),
    27: TensorType("i64", 1, 8),
    28: TensorType("f64", 1, 8),
    29: TensorType("iq1_m", 256, 56),
    30: TensorType("bf16", 1, 2),
    34: TensorType("tq1_0", 256, 54, (52,)),
    35: TensorType("tq2_0", 256, 66, (64,)),
    39: TensorType("mxfp4", 32, 17),
    40: TensorType("nvfp4", 64, 36),
}
"""By the identifier in the file."""
