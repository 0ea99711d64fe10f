"""Computes the factors of rotary frequencies that a GGUF file should hold, from the source's config.json.

llama.cpp divides the frequency of each pair of dimensions by its factor. transformers computes the frequencies from the
fields of config.json (`_compute_llama3_parameters` and `_compute_longrope_parameters` in modeling_rope_utils.py). A
wrong factor changes long texts alone, and by less than a quantization to 4 bits does.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.checkpoint.rotary import rope_type, rotary_parameters
from tasks.formats.stored import Floats

FREQUENCIES = "rope_freqs.weight"
LISTS = {"rope_factors_long.weight": "long_factor", "rope_factors_short.weight": "short_factor"}
"""The tensors whose factors config.json lists, and the field of the list."""

FIELDS = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
"""What the type llama3 is computed from, beside the base and the number of dimensions."""

BASE = 10000.0
"""transformers' base where config.json names none."""

ROUNDING = 2.0**-18
"""The relative difference of two libraries' factors in float32 that is allowed. A frequency is a power. Its error is
that of the exponent, times the logarithm of the base: about 2^-20. Mixed factors have up to twice that."""


def rotary_factors(name: str, config: Mapping[str, Any]) -> Floats | None:
    """Return the factors that a stored tensor should hold, float32 [pairs of dimensions].

    None if `name` is another tensor, or if config.json does not have the fields that they are computed from.
    """
    parts = rotary_parameters(config)
    if field := LISTS.get(name):
        lists = (part[field] for part in parts if isinstance(part.get(field), list))
        found = next(lists, None)
        return np.array(found, np.float32) if found and all(map(_is_number, found)) else None
    if name == FREQUENCIES:
        for part in parts:
            whole = {**_common(config), **part}
            if rope_type(part) == "llama3" and all(_is_number(whole.get(field)) for field in FIELDS):
                return _llama3(whole, _dimensions(config, whole))
    return None


def _common(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields that older configurations have beside `rope_scaling`, and not in it."""
    names = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    return {name: config[name] for name in names if _is_number(config.get(name))}


def _dimensions(config: Mapping[str, Any], part: Mapping[str, Any]) -> int:
    """Return how many dimensions of a head are rotated; 0 if config.json does not say."""
    heads, size = config.get("num_attention_heads"), config.get("head_dim")
    if not size and heads:
        size = config.get("hidden_size", 0) // heads
    return int((size or 0) * part.get("partial_rotary_factor", 1.0))


def _llama3(part: Mapping[str, Any], dimensions: int) -> Floats | None:
    factor, low, high, original = (float(part[field]) for field in FIELDS)
    if dimensions < 1 or high == low:
        return None
    base = float(part.get("rope_theta") or BASE)
    wavelengths = 2 * math.pi * base ** (np.arange(0, dimensions, 2) / dimensions)
    # Long waves are slowed down by the factor and short ones not at all. Between the two, the frequency is mixed.
    share = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    found: Floats = (1 / ((1 - share) / factor + share)).astype(np.float32)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
