"""The configuration describes these weights: vocabulary, hidden size, layers, the output head, the end of text.

Loaders fill what is missing with random numbers, and drop what is too many, with a warning at most.
"""

import re
from collections.abc import Mapping

from tasks.errors import Corrupt
from tasks.source.model_config import CONFIG, ModelConfig
from tasks.source.parameters import ScanParameters
from tasks.source.snapshot import Snapshot, Tensor

EMBEDDING = re.compile(r"(?P<prefix>.*?)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd)\.weight")
LAYER = re.compile(r"(?P<prefix>.*?)(layers|h|blocks|layer)\.(?P<number>[0-9]{1,6})\.")
HEAD = re.compile(r"(.*\.)?(lm_head|embed_out|output_layer|output|head|decoder)\.weight")
PROJECTION = re.compile(r"(?P<prefix>.*?)(layers|h|blocks|layer)\.[0-9]{1,6}\.self_attn\.(?P<kind>[ok])_proj\.weight")
"""How transformers' families name the token embedding and the layers, which share a prefix, the output head, and the
projections of keys and of attention's output."""


def check_shapes(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt naming the field of config.json and the tensor that contradict each other."""
    config, tensors = snapshot.config, snapshot.tensors
    found = find_embedding(tensors)
    if found is None or config.quantization:
        return "the token embedding is under no name that is known here, or quantized", False
    name, prefix = found
    _check_embedding(config, name, tensors[name])
    layers = _check_layers(config, prefix, tensors)
    _check_head(config, name, tensors)
    if "auto_map" not in (snapshot.json(CONFIG) or {}):
        _check_attention(config, prefix, tensors)
    for token in config.end_tokens:
        if not 0 <= token < config.vocabulary_size:
            raise _contradiction("eos_token_id", token, f"the vocabulary has {config.vocabulary_size} tokens")
    return f"vocabulary {config.vocabulary_size}, hidden size {config.hidden_size}, {layers} layers", True


def find_embedding(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the token embedding's name and the prefix that the text model's tensors share, or None."""
    for name, tensor in tensors.items():
        if (match := EMBEDDING.fullmatch(name)) and len(tensor.shape) == 2:
            return name, match["prefix"]
    return None


def find_head(tensors: Mapping[str, Tensor], embedding: str) -> str | None:
    """Return the output head's name, which has as many rows as the embedding, or None."""
    rows = tensors[embedding].shape[0]
    for name, tensor in tensors.items():
        if HEAD.fullmatch(name) and len(tensor.shape) == 2 and tensor.shape[0] == rows:
            return name
    return None


def _check_embedding(config: ModelConfig, name: str, tensor: Tensor) -> None:
    rows, columns = tensor.shape
    if rows != config.vocabulary_size:
        raise _contradiction("vocab_size", config.vocabulary_size, f"{name} has {rows} rows")
    if columns != config.embedding_size:
        raise _contradiction("hidden_size", config.embedding_size, f"{name} has {columns} columns")


def _check_layers(config: ModelConfig, prefix: str, tensors: Mapping[str, Tensor]) -> int:
    matches = [match for name in tensors if (match := LAYER.match(name)) and match["prefix"] == prefix]
    present = {int(match["number"]) for match in matches}
    if not present:
        return 0
    # The first that is missing, without counting up to a number that only the configuration says.
    missing = next((number for number in range(config.layers) if number not in present), None)
    if missing is not None:
        raise _contradiction("num_hidden_layers", config.layers, f"the weights have no layer {missing}")
    extra = [number for number in present if number >= config.layers + config.extra_layers]
    if extra:
        raise _contradiction("num_hidden_layers", config.layers, f"the weights have a layer {min(extra)}")
    return len(present)


def _check_head(config: ModelConfig, embedding: str, tensors: Mapping[str, Tensor]) -> None:
    """Only where the configuration says that the head is its own: some families tie it by default."""
    causal = config.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    if causal and config.tied is False and find_head(tensors, embedding) is None:
        raise _contradiction("tie_word_embeddings", False, "the weights have no output head")


def _check_attention(config: ModelConfig, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    """Heads of layers that name their projections as most families do; one layer that fits is enough.

    Some families have layers of several kinds, of which config.json describes the others in fields of their own.
    """
    columns: dict[str, int] = {}
    rows: dict[str, int] = {}
    for name, tensor in tensors.items():
        match = PROJECTION.fullmatch(name)
        if match and match["prefix"] == prefix and len(tensor.shape) == 2:
            (columns if match["kind"] == "o" else rows)[name] = tensor.shape[match["kind"] == "o"]
    if not columns or not rows:
        return
    for field, count, sizes, side in (
        ("num_attention_heads", config.heads, columns, "columns"),
        ("num_key_value_heads", config.kv_heads, rows, "rows"),
    ):
        if count * config.head_dim not in sizes.values():
            name, size = next(iter(sizes.items()))
            raise _contradiction(field, count, f"{name} has {size} {side}, of {config.head_dim} for each head")


def _contradiction(field: str, value: object, but: str) -> Corrupt:
    return Corrupt(f"{CONFIG}: {field} is {value}, but {but}; ask its publisher to mend it.")
