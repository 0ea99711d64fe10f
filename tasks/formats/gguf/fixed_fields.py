"""Compares fields of config.json that llama.cpp never reads with the values that it has in their place.

A difference may cost less than a quantization to 4 bits, so a bound lets it pass. The values are those of llama.cpp's
sources (src/models).
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

ACTIVATIONS = ("activation", "activation_function", "hidden_act", "hidden_activation", "mlp_hidden_act")
"""Fields that name the function of the inner layers. llama.cpp has that of the family's first model, which is the
default of transformers' class."""

SPELLINGS = (
    frozenset(("gelu", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh")),
    frozenset(("silu", "swish")),
)
"""Names of one function, or of approximations that differ by less than a rounding to float16."""

FIXED: Mapping[str, Mapping[str, Any]] = {
    "bitnet": {"hidden_act": "silu"},
    "bloom": {"apply_residual_connection_post_layernorm": False},
    "deepseek_v3": {"rope_interleave": True},
    "falcon": {"alibi": False},
    "gemma3_text": {"attn_logit_softcapping": None},
    "glm4_moe_lite": {"rope_interleave": True},
    "gpt2": {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    "gpt_bigcode": {"scale_attn_weights": True},
    "lfm2_moe": {"norm_topk_prob": True},
    "mellum": {"norm_topk_prob": True},
    "mimo_v2_flash": {"norm_topk_prob": True},
    "mistral4": {"rope_interleave": True},
    "olmoe": {"norm_topk_prob": False},
    "qwen2_moe": {"norm_topk_prob": False},
    "qwen3_moe": {"norm_topk_prob": True},
    "qwen3_next": {"norm_topk_prob": True},
}
"""By the type of the text model: fields, and the only value with which llama.cpp is right."""

SOFT_CAPS = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
"""Gemma 2's limits of scores and logits. llama.cpp reads them, has these for a missing one, and cannot go without."""

BY_WIDTH = {"gemma2": 46, "gemma3_text": 62}
"""Families whose attention llama.cpp scales by the size of a head; by the model's width for each head, if the model
has so many layers."""

WINDOWED_LAYERS, WINDOW = 64, 4096
"""llama.cpp gives windows to EXAONE 4 if it has so many layers, of this size if the file names none. In transformers it
has windows, and layers without rotary positions, if a size is named."""

EVERY = 4
"""llama.cpp leaves rotary positions out in every so many layers of SmolLM 3 and AFMoE. In transformers, AFMoE's layers
without a window have none."""

Field = tuple[str, Any, Any]
"""A field, its value in the source, and the one that llama.cpp computes with."""


def other_field(config: Any) -> str | None:
    """Return the first field in which llama.cpp would compute with another value, and both; None if there is none.

    config: of the text model, as transformers reads it.
    """
    for field, source, engine in _fields(config):
        if not _equal(source, engine):
            return f"config.json: {field} is {_text(source)}, and llama.cpp computes with {_text(engine)}"
    return None


def _fields(config: Any) -> Iterator[Field]:
    family = config.model_type
    fixed = FIXED.get(family, {})
    for name in ACTIVATIONS:
        if name not in fixed and isinstance(usual := getattr(type(config), name, None), str):
            source = getattr(config, name)
            yield f"'{name}'", source, source if _same(source, usual) else usual
    for name, value in fixed.items():
        yield f"'{name}'", getattr(config, name), value
    if family == "gemma2":
        for name, cap in SOFT_CAPS.items():
            source = getattr(config, name)
            yield f"'{name}'", source, cap if source is None else source
    if family in BY_WIDTH:
        wide = config.num_hidden_layers == BY_WIDTH[family]
        size = config.hidden_size // config.num_attention_heads if wide else config.head_dim
        yield "'query_pre_attn_scalar'", config.query_pre_attn_scalar, size
    if family == "mpt":
        scale, usual = config.attn_config.softmax_scale, 1 / math.sqrt(config.d_model / config.n_heads)
        yield "'softmax_scale' of attn_config", usual if scale is None else scale, usual
    if family == "exaone4":
        size = config.sliding_window
        yield "'sliding_window'", size, (size or WINDOW) if config.num_hidden_layers == WINDOWED_LAYERS else None
    if family == "smollm3":
        for layer, rotates in enumerate(config.no_rope_layers):
            yield f"'no_rope_layers' of layer {layer}", bool(rotates), (layer + 1) % EVERY != 0
    if family == "afmoe":
        for layer, kind in enumerate(config.layer_types):
            engine = "sliding_attention" if (layer + 1) % EVERY else "full_attention"
            yield f"'layer_types' of layer {layer}", kind, engine


def _equal(source: Any, engine: Any) -> bool:
    if isinstance(source, float) and isinstance(engine, float):
        return math.isclose(source, engine, rel_tol=1e-5)
    return bool(source == engine)


def _same(one: Any, other: str) -> bool:
    return one == other or any({one, other} <= names for names in SPELLINGS)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
