"""Checks that the configuration describes the weights: vocabulary, hidden size, layers, output head.

Loaders fill missing weights with random numbers and drop surplus ones, with a warning at most.
"""

import re
from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.embedding import LAYER, count_tokens, find_embedding, find_head
from tasks.checkpoint.model_config import CONFIG, ModelConfig
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tensor import Tensor
from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters

KEYS = re.compile(r"(?P<prefix>.*?)(layers|h|blocks|layer)\.[0-9]{1,6}\.self_attn\.k_proj\.weight")
"""How families name the projection of keys."""


def check_shapes(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the field of config.json and the tensor that contradict each other.

    A number that config.json lacks is the family's default and is not checked.
    """
    config, tensors = snapshot.config, snapshot.tensors
    found = find_embedding(tensors, config.tied)
    if found is None or config.quantization:
        return "the token embedding is under no name that is known here, or quantized", False
    name, prefix = found
    _check_embedding(config, name, tensors[name])
    layers = _check_layers(config, prefix, tensors)
    size = count_tokens(config, tensors[name])
    _check_head(config, size, tensors)
    _check_attention(snapshot.json(CONFIG) or {}, prefix, tensors)
    return f"vocabulary {size}, hidden size {config.hidden_size or tensors[name].shape[1]}, {layers} layers", True


def _check_embedding(config: ModelConfig, name: str, tensor: Tensor) -> None:
    rows, columns = tensor.shape
    if config.vocabulary_size not in (0, count_tokens(config, tensor)):
        raise _contradiction("vocab_size", config.vocabulary_size, f"{name} has {rows} rows")
    if config.embedding_size not in (0, columns):
        raise _contradiction("hidden_size", config.embedding_size, f"{name} has {columns} columns")


def _check_layers(config: ModelConfig, prefix: str, tensors: Mapping[str, Tensor]) -> int:
    matches = [match for name in tensors if (match := LAYER.match(name)) and match["prefix"] == prefix]
    present = {int(match["number"]) for match in matches}
    if not present or not config.layers:
        return len(present)
    # Stops at the first missing layer: the configuration's number may be huge.
    missing = next((number for number in range(config.layers) if number not in present), None)
    if missing is not None:
        raise _contradiction("num_hidden_layers", config.layers, f"the weights have no layer {missing}")
    extra = [number for number in present if number >= config.layers + config.extra_layers]
    if extra:
        raise _contradiction("num_hidden_layers", config.layers, f"the weights have a layer {min(extra)}")
    return len(present)


def _check_head(config: ModelConfig, size: int, tensors: Mapping[str, Tensor]) -> None:
    """Check the output head where the configuration says that it is not tied; some families tie it by default."""
    causal = config.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    if causal and config.tied is False and find_head(tensors, size) is None:
        raise _contradiction("tie_word_embeddings", False, "the weights have no output head")


def _check_attention(content: Mapping[str, Any], prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Check the numbers of heads, where the configuration states them and layers have the common names.

    One layer that fits is enough, because some families have layers of several kinds and describe them in other fields.
    """
    text = content.get("text_config")
    fields = {**content, **text} if isinstance(text, dict) else content
    heads, kv_heads = fields.get("num_attention_heads"), fields.get("num_key_value_heads")
    if not heads or not kv_heads or "auto_map" in content or "v_head_dim" in fields:
        return
    wrong = None
    for name, keys in tensors.items():
        output = tensors.get(name.replace(".k_proj.", ".o_proj."))
        if not (match := KEYS.fullmatch(name)) or match["prefix"] != prefix or output is None:
            continue
        if len(keys.shape) != 2 or len(output.shape) != 2:
            continue
        rows, columns = keys.shape[0], output.shape[-1]
        size = fields.get("head_dim") or columns // heads
        if columns != heads * size:
            place = name.replace(".k_proj.", ".o_proj.")
            wrong = wrong or ("num_attention_heads", heads, f"{place} has {columns} columns, of {size} for each head")
        elif rows != kv_heads * size:
            wrong = wrong or ("num_key_value_heads", kv_heads, f"{name} has {rows} rows, of {size} for each head")
        else:
            return
    if wrong:
        raise _contradiction(*wrong)


def _contradiction(field: str, value: object, but: str) -> Corrupt:
    return Corrupt(f"{CONFIG}: {field} is {value}, but {but}; ask the publisher to fix it.")
