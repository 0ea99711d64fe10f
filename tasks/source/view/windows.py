"""Settles a sliding window of no tokens in config.json.

Publishers write 0 or -1 for a model without a window. transformers reads only null so, and cannot run the model else.
Where `layer_types` names no layer with a window, the size is not used, and some families do not run with null.
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
        if _is_empty(part)
    )
    settled, *inner = ({**part, FIELD: None} if _is_empty(part) else dict(part) for _, part in parts(CONFIG, content))
    return {**settled, "text_config": inner[0]} if inner else settled, notes


def _is_empty(part: Mapping[str, Any]) -> bool:
    size, types = part.get(FIELD), part.get("layer_types")
    unused = isinstance(types, list) and set(map(str, types)) == {"full_attention"}
    return isinstance(size, int) and not isinstance(size, bool) and size < 1 and not unused
