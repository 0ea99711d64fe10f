"""Which tokens end a text, by a checkpoint's own files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.snapshot import Snapshot

GENERATION_CONFIG = "generation_config.json"


def end_ids(folder: Path, tokenizer: Any) -> list[int]:
    """Return the ids, sorted: those of the generation config, of the config or its part for text, of the tokenizer.

    tokenizer: the folder's, as transformers loads it. A negative id stands for no token.
    """
    snapshot = Snapshot(folder)
    config = snapshot.json(CONFIG) or {}
    text = config.get("text_config")
    parts = (snapshot.json(GENERATION_CONFIG) or {}, config, text if isinstance(text, dict) else {})
    named = [part.get("eos_token_id") for part in parts]
    return sorted({*_ids(named), *_ids(tokenizer.eos_token_id)})


def _ids(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for one in value:
            yield from _ids(one)
    # True and False are integers in Python, and no ids.
    elif type(value) is int and value >= 0:
        yield value
