"""What config.json says of a language model, whatever its family calls it. Absent numbers are 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import Corrupt

CONFIG = "config.json"

HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "num_query_groups", "multi_query_group_num")
HEAD_DIM = ("head_dim", "attention_head_dim", "kv_channels")
CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
EMBEDDING = ("word_embed_proj_dim", "embedding_size", "embedding_dim")
"""Names of one thing in the configurations of transformers' families, the common ones first."""


@dataclass(frozen=True)
class ModelConfig:
    """The configuration of the text model; lengths in tokens, `experts` 0 for a dense one.

    embedding_size: columns of the embedding; the hidden size, but for families that project it.
    extra_layers: layers for predicting further tokens, which lie in the weights behind the model's own.
    tied: None where the configuration leaves it to the family's default.
    quantization: the method by which the weights are quantized already.
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
    end_tokens: tuple[int, ...]


def parse_config(content: Mapping[str, Any]) -> ModelConfig:
    """Return the parsed configuration; raises Corrupt naming a field that is no non-negative whole number."""
    text = content.get("text_config")
    inner = {**content, **text} if isinstance(text, dict) else content
    architectures = content.get("architectures")
    hidden, heads = _number(inner, HIDDEN), _number(inner, HEADS)
    tied = inner.get("tie_word_embeddings")
    return ModelConfig(
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "unknown",
        model_type=str(content.get("model_type", "unknown")),
        layers=_number(inner, LAYERS),
        extra_layers=_number(inner, ("num_nextn_predict_layers",)),
        hidden_size=hidden,
        embedding_size=_number(inner, EMBEDDING) or hidden,
        heads=heads,
        kv_heads=_number(inner, KV_HEADS) or (1 if inner.get("multi_query") is True else heads),
        head_dim=_number(inner, HEAD_DIM) or (hidden // heads if heads else 0),
        vocabulary_size=_number(inner, ("vocab_size",)),
        context_length=_number(inner, CONTEXT),
        tied=tied if isinstance(tied, bool) else None,
        experts=_number(inner, EXPERTS),
        quantization=_quantization(inner),
        end_tokens=_end_tokens(inner),
    )


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise Corrupt(f"{CONFIG}: {name} is {value!r}, which is no whole number; ask its publisher to mend it.")
        return value
    return 0


def _end_tokens(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids that end a text: none, one or several."""
    value = config.get("eos_token_id")
    return tuple(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int))


def _quantization(config: Mapping[str, Any]) -> str | None:
    value = config.get("quantization_config")
    return str(value.get("quant_method", "an unnamed method")) if isinstance(value, dict) else None
