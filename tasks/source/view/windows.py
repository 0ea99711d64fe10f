"""Settles a sliding window of no tokens in config.json.

Publishers write 0 or -1 for a model without a window. transformers reads only null so, and cannot run the model else.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.special_ids import parts

FIELD = "sliding_window"


def without_empty_windows(content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json with null for a window of less than one token, also in its `text_config`, and notes."""
    notes = tuple(
        f"{where}{FIELD} is {part[FIELD]}, which is no window; the release has none."
        for where, part in parts(CONFIG, content)
        if _is_empty(part.get(FIELD))
    )
    settled, *inner = (
        {**part, FIELD: None} if _is_empty(part.get(FIELD)) else dict(part) for _, part in parts(CONFIG, content)
    )
    return {**settled, "text_config": inner[0]} if inner else settled, notes


def _is_empty(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < 1
