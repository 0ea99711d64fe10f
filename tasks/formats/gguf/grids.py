"""How each tensor type of a GGUF file rounds, for the comparison with the source.

Blocks, spans and steps are those of ggml's reference quantizers (ggml-quants.c). The types with a scale per block round
to multiples of it. A k-quant rounds its scales to 4 or 6 bits themselves. An i-quant rounds to points of a lattice,
which have no steps: `steps` is the number that gives the error measured for normal numbers.

k-quants and i-quants search for the scale with the least squared error, weighted as `weighting` says; with an
importance matrix, all types but q8_0 do. The scales of i-quants are multiplied by a constant after the search, so their
balance is not 1. docs/integrity.md has the measurements from which slacks and bands were taken.

Scales are float16, and a quantized file is made from one in float16: both add `unit`. Near zero, the float16 of the
scale costs more than that of the number. A number is a multiple of it, and `multiple` is the largest one: `q6_k` stores
q d s, where |q| is at most 32, the 8-bit scale |d| at most 128, and s is in float16. Types with a lowest number store
q d s - m t, where t is in float16, too. So the factor of t is added: that of d in `q4_k`, for example. k-quants and
most i-quants have one float16 for SUPER_BLOCK numbers.
"""

from dataclasses import replace

from tasks.formats.gguf.quantizations import SUPER_BLOCK
from tasks.formats.stored import BFLOAT16, EXACT, FLOAT16, FLOAT32, Grid

ANY = 0.999
"""For a row that an importance matrix may give up: its few important numbers decide its scales. Only zeros are seen."""

_SCALED = Grid(unit=2.0**-11, tiny=2.0**-25, slack=1.25, row_slack=3.5)
_SEARCHED = replace(_SCALED, balance_band=0.01, row_balance_band=0.1)
_SUPER = replace(_SEARCHED, together=SUPER_BLOCK)

GRIDS = {
    "f32": FLOAT32,
    "f16": FLOAT16,
    "bf16": BFLOAT16,
    # Wider by a half: where the source's numbers lie on a grid of 4 bits, their errors depend on each other.
    "q8_0": replace(_SCALED, unit=2.0**-10, block=32, steps=127, multiple=127),
    "q4_0": replace(_SCALED, block=32, steps=8, multiple=8, one_sided=True, shrink=1),
    "q5_0": replace(_SCALED, block=32, steps=16, multiple=16, one_sided=True, shrink=1),
    "q4_1": replace(_SCALED, block=32, span="range", steps=15, multiple=15 + 1, shrink=1),
    "q5_1": replace(_SCALED, block=32, span="range", steps=31, multiple=31 + 1, shrink=1),
    # Its search takes the least mean of absolute errors, so its balance depends on the numbers: 0.976 to 1.002.
    "q2_k": replace(
        _SUPER,
        block=16,
        span="range",
        steps=3,
        multiple=15 * (3 + 1),
        weighting="magnitude",
        balance=0.988,
        balance_band=0.015,
    ),
    # Scales are one-sided, too: where all are as large, those of the other sign are too small by 1/32.
    "q3_k": replace(
        _SUPER, block=16, steps=4, one_sided=True, multiple=32 * 4, weighting="square", balance_band=0.0125
    ),
    "q4_k": replace(_SUPER, block=32, span="range", steps=15, multiple=63 * (15 + 1), weighting="magnitude and mean"),
    "q5_k": replace(_SUPER, block=32, span="range", steps=31, multiple=63 * (31 + 1), weighting="magnitude and mean"),
    "q6_k": replace(_SUPER, block=16, steps=32, multiple=128 * 32, weighting="square"),
    "iq4_nl": replace(_SEARCHED, block=32, steps=8, one_sided=True, multiple=127, weighting="square"),
    "iq4_xs": replace(_SUPER, block=32, steps=8, one_sided=True, multiple=32 * 127, weighting="square"),
    "iq3_s": replace(_SUPER, block=32, steps=4.8, multiple=31 * 15, weighting="square", balance=0.968),
    "iq3_xxs": replace(_SUPER, block=32, steps=3.5, multiple=31 * 15.5, weighting="square"),
    "iq2_s": replace(_SUPER, block=16, steps=2.3, multiple=31 * 5.375, weighting="square"),
    "iq2_xs": replace(_SUPER, block=16, steps=2.2, multiple=31 * 5.375, weighting="square"),
    "iq2_xxs": replace(_SUPER, block=32, steps=1.9, multiple=31 * 5.375, weighting="square"),
    **dict.fromkeys(("i8", "i16", "i32", "i64", "f64"), EXACT),
}
"""By the type's name. A tensor of another type is reported as not compared."""

_IMPORTANT = replace(_SEARCHED, slack=2.0, row_slack=5.0, weighting="importance")
_BALANCES = (
    *(("q4_0", 1.0, 0.05), ("q5_0", 1.0, 0.05), ("q4_1", 1.0, 0.05), ("q5_1", 1.0, 0.05)),
    *(("iq4_nl", 1.0, 0.1), ("iq4_xs", 1.0, 0.1), ("q4_k", 1.0, 0.1), ("q5_k", 1.0, 0.1), ("q6_k", 1.0, 0.1)),
    *(("q2_k", 1.0, ANY), ("q3_k", 1.0, ANY), ("iq3_s", 0.968, ANY), ("iq3_xxs", 0.977, ANY)),
    *(("iq2_s", 0.96, ANY), ("iq2_xs", 0.96, ANY), ("iq2_xxs", 0.942, ANY)),
)

WITH_IMPORTANCE = {
    name: replace(
        _IMPORTANT,
        block=GRIDS[name].block,
        span=GRIDS[name].span,
        steps=GRIDS[name].steps,
        multiple=GRIDS[name].multiple,
        together=GRIDS[name].together,
        balance=balance,
        # Without scales of scales, the search ends at its condition but for the rounding to float16.
        balance_band=0.006 if name in ("q4_0", "q5_0", "q4_1", "q5_1") else _SEARCHED.balance_band,
        row_balance_band=of_row,
    )
    for name, balance, of_row in _BALANCES
}
"""The same for a tensor that was quantized with an importance matrix."""
