"""The lengths at which a model changes its arithmetic, and how long the long window of the reference is.

An error of a conversion may begin only there: beyond a sliding window, in the next chunk of attention, or where scaled
rotary positions take other factors.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size", "window_size")
"""Fields of transformers' configurations, in tokens: how far back a token sees, in some layers or in all."""

OTHERS = ("floor_scale",)
"""Further fields, in tokens."""

WINDOWED = ("sliding", "chunked", "local")
"""Beginnings of the layers' types that have a window, in the configurations that name the type of each layer."""

ORIGINAL = "original_max_position_embeddings"
"""The field of rotary positions: the length of the sequences on which the model was trained before it was extended."""

BY_LENGTH = ("longrope", "dynamic")
"""Types of rotary positions that change their factors beyond the original length. Others scale at every length."""

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
    found = {own.get(field) for field in (*WINDOWS, *OTHERS)}
    found |= {part.get(ORIGINAL, own.get(ORIGINAL)) for part in _rotary(config) if _kind(part) in BY_LENGTH}
    return _within_context(config, found)


def windows(config: Any) -> list[int]:
    """Return the sizes of a text model's attention windows that are shorter than its context, ascending, in tokens.

    A sequence that is not longer than a window is read as if there were none. A field that the configuration's class
    does not have is left over from another model, and no layer reads it.
    """
    own = vars(config)
    types = own.get("layer_types") if hasattr(type(config), "layer_types") else None
    if isinstance(types, list | tuple) and not any(str(one).startswith(WINDOWED) for one in types):
        return []
    return _within_context(config, (own.get(field) for field in WINDOWS if hasattr(type(config), field)))


def original_length(config: Any) -> int | None:
    """Return the length beyond which a model takes its other set of rotary factors; None where it has one set."""
    lengths = {part.get(ORIGINAL, vars(config).get(ORIGINAL)) for part in _rotary(config) if _kind(part) == "longrope"}
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


def _rotary(config: Any) -> list[Mapping[str, Any]]:
    """Return the parameters of the rotary positions, under both names that the configurations have for them."""
    return [part for name in ("rope_parameters", "rope_scaling") for part in _mappings(getattr(config, name, None))]


def _kind(part: Mapping[str, Any]) -> Any:
    return part.get("rope_type", part.get("type"))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a mapping and those within it: some models have rotary positions for each type of layer."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
