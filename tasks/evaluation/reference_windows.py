"""Cuts the evaluation text into windows of tokens. The source and every artifact run on the same ids."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoint.around import around
from tasks.errors import InvalidRecipe
from tasks.evaluation.parameters import EvaluationSettings

SEPARATOR = "\n\n"
"""Between documents where the tokenizer has no token that ends a text."""


class Tokenizer(Protocol):
    """What of a transformers tokenizer is used."""

    eos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the ids of a text; special tokens in it are parsed, and those around it added on request."""


@dataclass(frozen=True)
class TextRecord:
    """One line of the evaluation text; `prompt` with its right `answer` where it asks something, both else empty."""

    name: str
    text: str
    prompt: str
    answer: str


def read_records(folder: Path) -> list[TextRecord]:
    """Return the records of an evaluation-text artifact, which its task has checked."""
    parsed = [json.loads(line) for line in (folder / "text.jsonl").read_bytes().splitlines()]
    return [
        TextRecord(str(entry.get("id", place)), entry["text"], entry.get("prompt", ""), entry.get("answer", ""))
        for place, entry in enumerate(parsed, 1)
    ]


def first_token_ids(tokenizer: Tokenizer) -> list[int]:
    """Return what the tokenizer puts before a text (its BOS, or nothing), as serving engines do."""
    bare = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a", add_special_tokens=True)
    return list(around(bare, full)[0])


def pack_windows(
    tokenizer: Tokenizer, records: Sequence[TextRecord], first: Sequence[int], settings: EvaluationSettings
) -> NDArray[np.int32]:
    """Return int32 [windows, window_tokens]: the documents joined in order and cut into disjoint windows.

    Between documents stands what stood there when the model was trained: the token that ends a text, then `first`. Each
    window begins with `first`; a last partial one is left out. Raises InvalidRecipe where the text fills none.
    """
    payload = settings.window_tokens - len(first)
    stream = _join(tokenizer, records, list(first), payload * settings.windows)
    windows: list[list[int]] = []
    position = 0
    while len(windows) < settings.windows:
        if first and stream[position : position + len(first)] == list(first):
            position += len(first)
        body = stream[position : position + payload]
        if len(body) < payload:
            break
        windows.append([*first, *body])
        position += payload
    if not windows:
        raise InvalidRecipe(
            f"The evaluation text has {len(stream)} tokens, fewer than one window of {settings.window_tokens}; "
            "give it more text, or lower 'evaluation.window_tokens' in the recipe."
        )
    return np.array(windows, np.int32)


def pack_long_window(
    tokenizer: Tokenizer, records: Sequence[TextRecord], first: Sequence[int], length: int
) -> NDArray[np.int32]:
    """Return int32 [1, tokens]: the text from its beginning on, `length` tokens or what there is of it."""
    stream = [*first, *_join(tokenizer, records, list(first), length)]
    return np.array([stream[:length]], np.int32)


def _join(tokenizer: Tokenizer, records: Sequence[TextRecord], first: list[int], needed: int) -> list[int]:
    """Return the ids of as many documents as `needed` tokens take, and some more for what windows skip."""
    end = tokenizer.eos_token_id
    between = [end, *first] if end is not None else tokenizer.encode(SEPARATOR, add_special_tokens=False) + first
    stream: list[int] = []
    for record in records:
        stream += tokenizer.encode(record.text, add_special_tokens=False) + between
        if len(stream) >= needed + len(first) * len(records):
            break
    return stream
