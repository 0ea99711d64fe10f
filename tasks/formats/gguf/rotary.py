"""Compares the rotary positions that llama.cpp takes from a GGUF file with the source's.

llama.cpp scales rotary positions by fewer fields than transformers, and its converter leaves out what it does not know.
Such an error may cost some thousandths of a nat: less than a quantization to 4 bits, so its bound lets the error pass.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.checkpoint.rotary import ORIGINAL
from tasks.errors import Unsupported
from tasks.formats.gguf.header import Header

BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}
"""Fields of yarn with the values that transformers and llama.cpp take where there are none."""

READS_BETAS = ("grok", "mistral3")
"""Architectures for which llama.cpp reads them from the file (src/models)."""

SCALES_SCORES = ("deepseek2", "deepseek32", "mistral4")
"""Architectures for which llama.cpp scales the scores of attention, too. The file has a tenth of `mscale_all_dim`."""

SLIDING_BASE = 10000.0
SLIDING_BASE_OF_ITS_OWN = ("gemma3", "gemma3n", "gemma4", "mimo2", "plamo3", "step35")
"""Architectures whose layers with a sliding window have SLIDING_BASE in llama.cpp if the file names no base for them.
Other architectures then have one base for all layers. llama.cpp does not scale the positions of such layers, but it
applies yarn's factor of sines and cosines to them."""

PLAIN_SLIDING = ("laguna", "mellum", "olmo2")
"""Architectures whose layers with a sliding window llama.cpp never scales."""

TENSORS = {"llama3": "rope_freqs.weight", "longrope": "rope_factors_long.weight"}
"""Types of rotary positions whose factors the file holds, and their tensor."""

Field = tuple[str, Any, Any]
"""A field, its value in the source, and the one that llama.cpp computes with."""


def check_rotary(header: Header, parameters: Mapping[str, Any], context_length: int | None) -> None:
    """Raise Unsupported if llama.cpp would compute other rotary positions than the source.

    parameters: `rope_parameters` of transformers' configuration. context_length: of the source, in tokens.
    """
    for field, source, engine in _fields(header, parameters, context_length):
        if not _equal(source, engine):
            raise Unsupported(
                f"config.json: {field} of the rotary positions is {_text(source)}, and llama.cpp computes with "
                f"{_text(engine)}; leave the gguf targets out of the recipe for this model."
            )


def _fields(header: Header, parameters: Mapping[str, Any], context_length: int | None) -> Iterator[Field]:
    part = parameters.get("full_attention") or parameters
    kind = part.get("rope_type")
    architecture = header.text("general.architecture")
    prefix = f"{architecture}.rope.scaling."
    stored = {key.removeprefix(prefix): value for key, value in header.metadata.items() if key.startswith(prefix)}
    base = header.number(f"{architecture}.rope.freq_base")
    if base is not None and part.get("rope_theta") is not None and kind != "dynamic":  # HunYuan's has another base
        yield "'rope_theta'", part["rope_theta"], base
    if sliding := parameters.get("sliding_attention"):
        engine = header.number(f"{architecture}.rope.freq_base_swa")
        if engine is None:
            engine = SLIDING_BASE if architecture in SLIDING_BASE_OF_ITS_OWN else base
        if engine is not None and sliding.get("rope_theta") is not None:
            yield "'rope_theta' of layers with a sliding window", sliding["rope_theta"], engine
        yield from _sliding(sliding, part, str(architecture))
    if kind in TENSORS:
        yield "'rope_type'", kind, kind if any(one.name == TENSORS[kind] for one in header.tensors) else "default"
    if kind in ("linear", "yarn"):
        yield "'rope_type'", kind, stored.get("type", "default")
        yield "'factor'", part["factor"], stored.get("factor")
    if kind == "yarn":
        yield from _yarn(part, stored, str(architecture))
        # transformers does not look for it within "full_attention".
        yield "'truncate'", bool(parameters.get("truncate", True)), True
    if kind == "longrope":
        yield from _longrope(part, stored, context_length)


def _sliding(sliding: Mapping[str, Any], full: Mapping[str, Any], architecture: str) -> Iterator[Field]:
    """Yield what scales the positions of layers with a sliding window. llama.cpp has no fields for them."""
    own, kind = (part.get("rope_type") or "default" for part in (sliding, full))
    plain = architecture in PLAIN_SLIDING or (architecture in SLIDING_BASE_OF_ITS_OWN and kind != "yarn")
    yield "'rope_type' of layers with a sliding window", own, "default" if plain else kind
    if own != "default":
        yield "'factor' of layers with a sliding window", sliding.get("factor"), full.get("factor")


def _yarn(part: Mapping[str, Any], stored: Mapping[str, Any], architecture: str) -> Iterator[Field]:
    """Yield what decides the frequencies, then the factor of sines and cosines (src/llama-context.cpp)."""
    yield f"'{ORIGINAL}'", part[ORIGINAL], stored.get("original_context_length")
    for name, value in BETAS.items():
        read = stored.get(f"yarn_{name}", value) if architecture in READS_BETAS else value
        yield f"'{name}'", part.get(name) or value, read
    factor, own, all_dim = float(part["factor"]), part.get("mscale"), part.get("mscale_all_dim")
    stored_all = float(stored.get("yarn_log_multiplier", 0.0)) * (10 if architecture in SCALES_SCORES else 1)
    if architecture in SCALES_SCORES:
        yield "'mscale_all_dim'", all_dim, stored_all or 1.0
    # For DeepSeek 2, llama.cpp takes both for equal. For others it takes the first for 1.
    engine_own = stored_all if architecture == "deepseek2" and not _equal(stored_all, 0.0) else 1.0
    engine = _mscale(factor, engine_own) / _mscale(factor, stored_all) * float(stored.get("attn_factor", 1.0))
    if part.get("attention_factor") is not None:
        yield "'attention_factor'", part["attention_factor"], engine
    elif own and all_dim:
        yield "the factor of 'mscale' and 'mscale_all_dim'", _mscale(factor, own) / _mscale(factor, all_dim), engine
    else:
        yield "the attention factor", _mscale(factor, 1.0), engine


def _longrope(part: Mapping[str, Any], stored: Mapping[str, Any], context_length: int | None) -> Iterator[Field]:
    engine = float(stored.get("attn_factor", 1.0))
    if "long_mscale" in part:  # Phi-3.5-MoE: one for each set of factors
        yield "'short_mscale'", part["short_mscale"], engine
        yield "'long_mscale'", part["long_mscale"], engine
        return
    original = float(part[ORIGINAL])
    factor = part.get("factor") or (context_length or original) / original
    usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    own = part.get("attention_factor")
    yield ("the attention factor", usual, engine) if own is None else ("'attention_factor'", own, engine)


def _mscale(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _equal(source: Any, engine: Any) -> bool:
    """Whether two values are equal; the file's are rounded to float32."""
    if isinstance(source, int | float) and isinstance(engine, int | float):
        return math.isclose(source, engine, rel_tol=1e-5)
    return bool(source == engine)


def _text(value: Any) -> str:
    if value is None:
        return "not named"
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()
