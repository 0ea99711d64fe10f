"""The lengths at which a model changes its arithmetic, and how long the long window of the reference is.

An error of a conversion may begin only there: beyond a sliding window, in the next chunk of attention, or where scaled
rotary positions take other factors.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.checkpoint.rotary import BY_LENGTH, ORIGINAL, rope_type, rotary_parameters

WINDOWS = ("sliding_window", "sliding_window_size", "attention_chunk_size", "attention_window_size", "window_size")
"""Fields of transformers' configurations, in tokens: how far back a token sees, in some layers or in all."""

OTHERS = (
    "floor_scale",  # Llama 4: queries are scaled in steps of so many tokens
    "index_topk",  # DeepSeek 3.2: a token sees the best so many tokens
    "indexer_budget",  # Qwen 4: likewise
    "keep_window_size",  # Doge: likewise
    "local_attention_window_len",  # BLT: how far back its encoder and its decoder of bytes see
    "local_attn_chunk_length",  # Reformer: a token sees its chunk and the one before
    "log_scaling_n_floor",  # Inkling: queries are scaled beyond it
    "lsh_attn_chunk_length",  # Reformer: likewise, after sorting
    "position_bias_max_distance",  # CPM-Ant: tokens that are farther away share one bias
    "rel_extent",  # Inkling: tokens that are farther away have no bias
    "relative_max_distance",  # ProphetNet: tokens that are farther away share one bias
)
"""Further fields, in tokens."""

RATES = "compress_rates"
"""DeepSeek 4's field: how many tokens are seen as one, by the type of the layer."""

PRODUCTS = (
    ("index_topk", "compressed_sparse_attention"),  # DeepSeek 4: a token sees the best so many groups, by RATES
    ("index_topk_blocks", "index_block_size"),  # MiniMax 3: likewise
)
"""Fields whose product is such a length, instead of the first alone."""

WINDOWED = ("sliding", "chunked", "local")
"""Parts of the names of layers' types that have a window, in the configurations that name the type of each layer."""

ROTARY_BY_LENGTH = ("llama_4_scaling_beta", "long_mscale")
"""Parameters of rotary positions that scale what is beyond the original length: of Ministral 3 and Phi-3.5-MoE."""

MARGIN = 512
"""Tokens of the long window beyond the last length that it crosses, so that a mean over them says something."""

LEAST = 2048
"""Tokens of the long window of a model that changes nowhere within the limit; fewer if its context is shorter. The line
that serves an artifact gives it as much context as was compared."""


def lengths_of_change(config: Any) -> list[int]:
    """Return the lengths that a text model's configuration names, ascending: tokens before those that differ.

    config: transformers' own, with the defaults of its class. The context's length is not among them.
    """
    own = vars(config)
    rates = own[RATES] if isinstance(own.get(RATES), Mapping) else {}
    products = {first: _product({**own, **rates}, first, second) for first, second in PRODUCTS}
    found = [own.get(field) for field in (*WINDOWS, *OTHERS) if products.get(field) is None]
    found += [*products.values(), *rates.values()]
    found += [part.get(ORIGINAL, own.get(ORIGINAL)) for part in rotary_parameters(own) if _changes_by_length(part)]
    return _within_context(config, found)


def windows(config: Any) -> list[int]:
    """Return the sizes of a text model's attention windows that are shorter than its context, ascending, in tokens.

    A sequence that is not longer than a window is read as if there were none. A field that the configuration's class
    does not have is left over from another model, and no layer reads it.
    """
    own = vars(config)
    types = own.get("layer_types") if hasattr(type(config), "layer_types") else None
    if isinstance(types, list | tuple) and not any(part in str(one) for one in types for part in WINDOWED):
        return []
    return _within_context(config, (own.get(field) for field in WINDOWS if hasattr(type(config), field)))


def original_length(config: Any) -> int | None:
    """Return the length beyond which a model takes its other set of rotary factors; None where it has one set."""
    own = vars(config)
    sets = [part for part in rotary_parameters(own) if rope_type(part) == "longrope"]
    lengths = {part.get(ORIGINAL, own.get(ORIGINAL)) for part in sets}
    return min((int(one) for one in lengths if one), default=None)


def long_window_tokens(changes: list[int], context_length: int, limit: int) -> int:
    """Return how many tokens the long window has: the whole context where `limit` allows it, else as far as it must.

    A length is crossed if the limit leaves MARGIN tokens beyond it.
    """
    if context_length <= limit:
        return context_length
    crossed = [length + MARGIN for length in changes if length + MARGIN <= limit]
    return max(crossed, default=min(LEAST, limit))


def _within_context(config: Any, found: Iterable[Any]) -> list[int]:
    context = getattr(config, "max_position_embeddings", None)
    lengths = {int(one) for one in found if isinstance(one, int | float) and one >= 1}
    return sorted(one for one in lengths if context is None or one < context)


def _product(fields: Mapping[str, Any], first: str, second: str) -> int | None:
    one, other = fields.get(first), fields.get(second)
    return one * other if isinstance(one, int) and isinstance(other, int) else None


def _changes_by_length(part: Mapping[str, Any]) -> bool:
    return rope_type(part) in BY_LENGTH or any(part.get(name) is not None for name in ROTARY_BY_LENGTH)
