"""Reads the parameters of rotary positions, in all places where configurations have them.

transformers 5 calls the field `rope_parameters`, and earlier versions `rope_scaling`, with `type` for `rope_type`. Some
models have one set for each type of layer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = ("rope_parameters", "rope_scaling")

ORIGINAL = "original_max_position_embeddings"
"""The length of the sequences on which the model was trained before it was extended, in tokens."""

BY_LENGTH = ("dynamic", "longrope")
"""Types whose frequencies change when the text is longer than the original length. Others do not depend on the text."""


def rotary_parameters(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return all sets of parameters of a text model's configuration, given by field."""
    return [part for name in FIELDS for part in _mappings(config.get(name))]


def rope_type(part: Mapping[str, Any]) -> Any:
    """Return the type that a set of parameters names; None where it names none, whatever the file has there."""
    return part.get("rope_type", part.get("type"))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a mapping and those within it."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _mappings(inner)
