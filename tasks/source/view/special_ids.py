"""Settles the ids of special tokens in configurations: a negative id means that there is no such token."""

from collections.abc import Mapping
from typing import Any

from tasks.errors import Corrupt

FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id")


def settle_special_ids(file: str, content: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return a configuration without negative ids, at its top and in its `text_config`.

    rows: the number of the model's tokens; 0 if it is not known.
    Raises Corrupt with the file and the field for an id for which the model has no row.
    """
    settled = dict(content)
    for field in FIELDS:
        if field not in content:
            continue
        value = content[field]
        named = [one for one in (value if isinstance(value, list) else [value]) if _is_id(one)]
        for one in named:
            if rows and one >= rows:
                raise Corrupt(
                    f"{file}: {field} is {one}, but the model has {rows} tokens, and their ids begin at 0; "
                    "ask the publisher to fix it."
                )
        if any(one < 0 for one in named):
            kept = [one for one in named if one >= 0]
            settled[field] = kept if isinstance(value, list) and kept else None
    text = content.get("text_config")
    if isinstance(text, dict):
        settled["text_config"] = settle_special_ids(file, text, rows)
    return settled


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
