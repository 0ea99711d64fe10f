"""How each tensor type of a GGUF file rounds, for the comparison with the source.

Blocks, spans and steps are those of ggml's reference quantizers (ggml-quants.c). The types with a scale per block round
to multiples of it. A k-quant's scales are rounded to 4 or 6 bits themselves, and its quantizer, like that of the
i-quants, searches for the scale with the least squared error. An i-quant rounds to points of a lattice, which have no
steps: `steps` is the number that gives the error measured for normal numbers.

Scales are float16, and a quantized file is made from one in float16: both add `unit`.
"""

from dataclasses import replace

from tasks.formats.stored import BFLOAT16, EXACT, FLOAT16, FLOAT32, Grid

_SCALE = Grid(unit=2.0**-11, tiny=2.0**-25, slack=1.25, row_slack=1.8)

GRIDS = {
    "f32": FLOAT32,
    "f16": FLOAT16,
    "bf16": BFLOAT16,
    "q8_0": replace(_SCALE, block=32, steps=127),
    "q4_0": replace(_SCALE, block=32, steps=8, shrink=1),
    "q5_0": replace(_SCALE, block=32, steps=16, shrink=1),
    "q4_1": replace(_SCALE, block=32, span="range", steps=15, shrink=1),
    "q5_1": replace(_SCALE, block=32, span="range", steps=31, shrink=1),
    "q2_k": replace(_SCALE, block=16, span="range", steps=3, shrink=1),
    "q3_k": replace(_SCALE, block=16, steps=4, shrink=1),
    "q4_k": replace(_SCALE, block=32, span="range", steps=15, shrink=1),
    "q5_k": replace(_SCALE, block=32, span="range", steps=31, shrink=1),
    "q6_k": replace(_SCALE, block=16, steps=32, shrink=1),
    "iq4_nl": replace(_SCALE, block=32, steps=8, shrink=1),
    "iq4_xs": replace(_SCALE, block=32, steps=8, shrink=1),
    "iq3_s": replace(_SCALE, block=32, steps=4.8, shrink=1),
    "iq3_xxs": replace(_SCALE, block=32, steps=3.5, shrink=1),
    "iq2_s": replace(_SCALE, block=16, steps=2.3, shrink=1),
    "iq2_xs": replace(_SCALE, block=16, steps=2.2, shrink=1),
    "iq2_xxs": replace(_SCALE, block=32, steps=1.9, shrink=1),
    **dict.fromkeys(("i8", "i16", "i32", "i64", "f64"), EXACT),
}
"""By the type's name. A tensor of another type is reported as not compared."""
