"""Settles the ids of special tokens in configurations: a negative one means that there is no token, and 1.0 is 1."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.special_ids import parts, read_special_ids


def settle_special_ids(file: str, content: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return a configuration without negative ids and fractions, at its top and in its `text_config`.

    rows: the number of the model's tokens; 0 if it is not known.
    Raises Corrupt with the file and the field for what is no id, and for an id for which the model has no row.
    """
    settled, *inner = (_settle(where, part, rows) for where, part in parts(file, content))
    return {**settled, "text_config": inner[0]} if inner else settled


def _settle(where: str, content: Mapping[str, Any], rows: int) -> dict[str, Any]:
    settled = dict(content)
    for field, ids in read_special_ids(where, content, rows).items():
        value = content.get(field)
        if isinstance(value, list):
            settled[field] = ids if ids or not value else None
        elif value is not None:
            settled[field] = next(iter(ids), None)
    return settled
