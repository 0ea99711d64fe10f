"""Reads the ids of special tokens in configurations, by one rule for all who use them.

A field holds one id, a list of ids, or nothing. A negative id means that there is no such token. Any other id must be
that of a row of the embedding: a library may crash on another one.
"""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.checkpoint.embedding import count_tokens, find_embedding
from tasks.checkpoint.model_config import GENERATION
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt

FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id")
UNUSED = FIELDS[2:]
"""Those of generation_config.json that no single text needs. transformers builds the embedding with config.json's."""


def count_rows(snapshot: Snapshot) -> int:
    """Return the number of the model's tokens: by the embedding, else by config.json; 0 if it is not known.

    The embedding of quantized weights may be packed, so it says nothing.
    """
    config = snapshot.config
    if config.quantization:
        return 0
    found = find_embedding(snapshot.tensors, config.tied)
    return count_tokens(config, snapshot.tensors[found[0]]) if found else config.vocabulary_size


def parts(file: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each object of a configuration that names special tokens, after the beginning of its fields' names."""
    yield f"{file}: ", content
    text = content.get("text_config")
    if isinstance(text, dict):
        yield f"{file}: text_config.", text


def without_unused(file: str, content: Mapping[str, Any], rows: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return generation_config.json without unused ids for which the model has no row, and a note on each; any other
    file as it is.

    rows: the number of the model's tokens; 0 if it is not known.
    """
    if file != GENERATION or not rows:
        return dict(content), ()
    surplus = [field for field in UNUSED if type(content.get(field)) is int and content[field] >= rows]
    notes = tuple(
        f"{file}: {field} is {content[field]}, for which the model has no row; the release leaves it out."
        for field in surplus
    )
    return {field: value for field, value in content.items() if field not in surplus}, notes


def read_special_ids(where: str, content: Mapping[str, Any], rows: int) -> dict[str, list[int]]:
    """Return the ids that each field of an object names, without the negative ones.

    where: the beginning of a field's name in messages. rows: the number of the model's tokens; 0 if it is not known.
    Raises Corrupt with the file and the field for what is no id, and for an id without a row.
    """
    found = {}
    for field in FIELDS:
        value = content.get(field)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        # Some writers of JSON know fractions alone. transformers takes 1.0 for 1 here.
        named = [int(one) if isinstance(one, float) and one.is_integer() else one for one in listed]
        for one in named:
            _check(f"{where}{field}", one, rows)
        found[field] = [one for one in named if one >= 0]
    return found


def _check(field: str, value: Any, rows: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Corrupt(f"{field} is {reprlib.repr(value)}, which is not the id of a token; ask the publisher to fix it.")
    if rows and value >= rows:
        raise Corrupt(
            f"{field} is {value}, but the model has {rows} tokens, and their ids begin at 0; "
            "ask the publisher to fix it."
        )
