"""Checks that the ids of special tokens are those of tokens that the model has: a library may crash on another one."""

import reprlib
from typing import Any

from tasks.checkpoint.embedding import count_tokens, find_embedding
from tasks.checkpoint.model_config import CONFIG, GENERATION
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.source.parameters import ScanParameters

FIELDS = ("bos_token_id", "eos_token_id", "pad_token_id")
NONE = -1
"""What some families write for a token that they do not have."""


def check_special_tokens(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt with the file and the field. A field may hold one id, a list of ids, or nothing."""
    found = find_embedding(snapshot.tensors)
    config = snapshot.config
    size = count_tokens(config, snapshot.tensors[found[0]]) if found else config.vocabulary_size
    if not size or config.quantization:
        return "the size of the vocabulary is not known", False
    count = 0
    for place, fields in _places(snapshot):
        for field in FIELDS:
            value = fields.get(field)
            for token in value if isinstance(value, list) else [] if value is None else [value]:
                _check(f"{place}{field}", token, size)
                count += 1
    return f"{count} ids of special tokens are below {size}", True


def _places(snapshot: Snapshot) -> list[tuple[str, dict[str, Any]]]:
    """Return the beginning of a field's name in messages, and the fields, of each object that holds special tokens."""
    config, generation = snapshot.json(CONFIG) or {}, snapshot.json(GENERATION) or {}
    text = config.get("text_config")
    places = [(f"{CONFIG}: ", config), (f"{GENERATION}: ", generation)]
    return [*places, (f"{CONFIG}: text_config.", text)] if isinstance(text, dict) else places


def _check(where: str, token: Any, size: int) -> None:
    if not isinstance(token, int) or isinstance(token, bool):
        raise Corrupt(f"{where} is {reprlib.repr(token)}, which is not the id of a token; ask the publisher to fix it.")
    if token != NONE and not 0 <= token < size:
        raise Corrupt(f"{where} is {token}, but the vocabulary has {size} tokens; ask the publisher to fix it.")
