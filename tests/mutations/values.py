"""How a value is changed: into another one of its type, different enough to matter where the field matters."""

from collections.abc import Mapping
from typing import Any

OTHER: Mapping[str, str] = {
    "silu": "gelu",
    "gelu": "silu",
    "bfloat16": "float32",
    "float32": "bfloat16",
    "default": "linear",
    "linear": "default",
    "llama3": "default",
    "sliding_attention": "full_attention",
    "full_attention": "sliding_attention",
    "isolated": "removed",
    "NFC": "NFKC",
}
"""Another value of enumerations. Any other text gets a letter at its end."""

SMALL_INTEGER = 16
"""Ids, flags and counts are below it and grow by one; lengths and sizes are halved."""

SMALL_FLOAT = 1e-3
"""Below it stand the epsilons of norms, which differ by powers of ten from model to model."""


def changed(value: Any) -> Any:
    """Return another value of the same type; 1 in place of None."""
    if value is None:
        return 1
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if abs(value) < SMALL_INTEGER else value // 2
    if isinstance(value, float):
        return 0.5 if value == 0 else value * (2 if abs(value) >= SMALL_FLOAT else 100)
    assert isinstance(value, str)
    return OTHER.get(value, f"{value}x")
