"""Finds layers that config.json gives a window whose size it does not give: transformers cannot run them."""

from typing import Any

SIZES = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
"""The field with a window's size in tokens, by the name of the layers that have it."""


def missing_size(config: Any) -> str | None:
    """Return what contradicts itself in a configuration of transformers, or None.

    A field that the configuration's class does not have at all decides nothing: the size may stand elsewhere.
    """
    text = config.get_text_config()
    named = getattr(text, "layer_types", None) or ()
    for kind, field in SIZES.items():
        if kind in named and hasattr(text, field) and not (getattr(text, field) or 0) > 0:
            value = "null" if getattr(text, field) is None else getattr(text, field)
            return f"layer_types names {kind}, and {field} is {value}"
    return None
