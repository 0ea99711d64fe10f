"""Reads config.json of a language model, under the names that different families use. An absent number is 0."""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.checkpoint.rotary import rope_type, rotary_parameters
from tasks.errors import Corrupt

CONFIG, GENERATION = "config.json", "generation_config.json"
UNKNOWN = "unknown"
LONGEST_NAME = 200
LARGEST = 2**48
"""Larger than any size, count or length of a model, and small enough for products of several to be printed."""

HIDDEN = ("hidden_size", "n_embd", "n_embed", "d_model", "dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "num_query_groups", "multi_query_group_num")
HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels")
CONTEXT = (
    "max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx",
    "context_length",
)  # fmt: skip
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
EMBEDDING = ("word_embed_proj_dim", "embedding_size", "embedding_dim")
"""The names of each field in the configurations of transformers' families, the most common name first."""

EPSILON = re.compile(r"(.*(norm|rms|ln|hc)_)?(eps|epsilon)")
"""Families call it rms_norm_eps, layer_norm_epsilon, norm_epsilon, mixer_rms_eps, hc_eps, eps. Others, such as
adam_epsilon, are what is left of the training."""


@dataclass(frozen=True)
class ModelConfig:
    """The configuration of the text model. Lengths are in tokens.

    embedding_size: columns of the embedding. It differs from the hidden size in families that project the embedding.
    extra_layers: layers that predict further tokens; in the weights they follow the model's own layers.
    tied: whether embedding and output head share their weights; None where the configuration does not say.
    experts: 0 for a dense model.
    quantization: the method by which the weights are quantized already.
    rope_types: the types of rotary positions that it names, sorted; without "default", which newer files alone name.
    """

    architecture: str
    model_type: str
    layers: int
    extra_layers: int
    hidden_size: int
    embedding_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary_size: int
    context_length: int
    tied: bool | None
    experts: int
    quantization: str | None
    rope_types: tuple[str, ...]


def parse_config(content: Mapping[str, Any]) -> ModelConfig:
    """Return the parsed configuration; raises Corrupt with the field that has a value of a wrong type or size."""
    text = content.get("text_config")
    inner = {**content, **text} if isinstance(text, dict) else content
    architectures = content.get("architectures")
    listed = isinstance(architectures, list)
    hidden, heads = _positive(inner, HIDDEN), _positive(inner, HEADS)
    return ModelConfig(
        architecture=_name("architectures", (architectures or [UNKNOWN])[0] if listed else UNKNOWN),
        model_type=_name("model_type", content.get("model_type", UNKNOWN)),
        layers=_positive(inner, LAYERS),
        extra_layers=extra_layers(inner),
        hidden_size=hidden,
        embedding_size=_number(inner, EMBEDDING) or hidden,
        heads=heads,
        kv_heads=1 if has_one_key_head(inner) else _number(inner, KV_HEADS) or heads,
        head_dim=_number(inner, HEAD_DIM) or (hidden // heads if heads else 0),
        vocabulary_size=_positive(inner, ("vocab_size",)),
        context_length=context_length(inner),
        tied=_switch("tie_word_embeddings", inner.get("tie_word_embeddings")),
        experts=_number(inner, EXPERTS),
        quantization=_quantization(inner),
        rope_types=_rope_types(inner),
    )


def has_one_key_head(config: Mapping[str, Any]) -> bool:
    """Whether all attention heads have the same keys, as in GPTBigCode and in Falcon's first design.

    transformers 5 saves the number of attention heads as Falcon's `num_kv_heads`, and does not use it there.
    """
    return config.get("multi_query") is True and config.get("new_decoder_architecture") is not True


def context_length(config: Mapping[str, Any]) -> int:
    """Return the most tokens that a sequence may have, by the configuration of the text model; 0 if it names no limit.

    Raises Corrupt with the field if the value is not a whole number.
    """
    return _number(config, CONTEXT)


def extra_layers(config: Mapping[str, Any]) -> int:
    """Return how many layers that predict further tokens follow the model's own.

    config: of the text model. Raises Corrupt with the field if the value is not a whole number.
    """
    return _number(config, ("num_nextn_predict_layers",))


def epsilons(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the epsilons of norms by the names of their fields; nothing if the code of the family has them."""
    return {name: value for name, value in config.items() if EPSILON.fullmatch(name) and isinstance(value, int | float)}


def _name(field: str, value: Any) -> str:
    """Names are shown in logs, tables and the registry as they are."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_NAME:
        raise Corrupt(f"{CONFIG}: {field} is {reprlib.repr(value)}, which is not a name; ask the publisher to fix it.")
    return value


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            # Python reads 4096.0 so, which is a whole number in JSON.
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
            raise Corrupt(
                f"{CONFIG}: {name} is {reprlib.repr(value)}, which is not a whole number; ask the publisher to fix it."
            )
        return value
    return 0


def _positive(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """A number that may be absent, but is never 0. Where it is absent, the family's default applies."""
    for name in names:
        if config.get(name) == 0:
            raise Corrupt(f"{CONFIG}: {name} is {config[name]!r}, and must be positive; ask the publisher to fix it.")
    return _number(config, names)


def _switch(field: str, value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise Corrupt(
            f"{CONFIG}: {field} is {reprlib.repr(value)}, neither true nor false; ask the publisher to fix it."
        )
    return value


def _quantization(config: Mapping[str, Any]) -> str | None:
    value = config.get("quantization_config")
    if not isinstance(value, dict) or not value:
        return None
    return _name("quantization_config.quant_method", value.get("quant_method", "an unnamed method"))


def _rope_types(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = [rope_type(part) for part in rotary_parameters(config)]
    return tuple(sorted({_name("rope_type", one) for one in named if one not in (None, "default")}))
