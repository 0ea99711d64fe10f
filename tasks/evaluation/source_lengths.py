"""The lengths at which a model changes its arithmetic, and how long the long window of the reference is.

An error of a conversion may begin only there: beyond a sliding window, in the next chunk of attention, or where scaled
rotary positions take other factors.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = (
    "sliding_window",
    "attention_chunk_size",
    "attention_window_size",
    "window_size",
    "floor_scale",
    "original_max_position_embeddings",
)
"""Fields of transformers' configurations, in tokens: of the text model itself, or of its rotary positions."""

MARGIN = 512
"""Tokens of the long window beyond the last length that it crosses, so that a mean over them says something."""

LEAST = 2048
"""Tokens of the long window of a model that changes nowhere within the limit; fewer if its context is shorter."""


def lengths_of_change(config: Any) -> list[int]:
    """Return the lengths that a text model's configuration names, ascending: tokens before those that differ.

    config: transformers' own, with the defaults of its class. The context's length is not among them.
    """
    parts = [vars(config)]
    for name in ("rope_parameters", "rope_scaling"):
        parts += _mappings(getattr(config, name, None))
    found = {part.get(field) for part in parts for field in FIELDS}
    context = getattr(config, "max_position_embeddings", None)
    lengths = {int(one) for one in found if isinstance(one, int | float) and one >= 1}
    return sorted(one for one in lengths if context is None or one < context)


def long_window_tokens(changes: list[int], context_length: int, limit: int) -> int:
    """Return how many tokens the long window has: the whole context where `limit` allows it, else as far as it must.

    A length is crossed if the limit leaves MARGIN tokens beyond it.
    """
    if context_length <= limit:
        return context_length
    crossed = [length + MARGIN for length in changes if length + MARGIN <= limit]
    return max(crossed, default=min(LEAST, limit))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a mapping and those within it: some models have rotary positions for each type of layer."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
