"""Cuts the evaluation text into windows of tokens: the very ids that the source and every artifact are run on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InvalidRecipe
from tasks.recipe import EvaluationSettings

DOCUMENT_SEPARATOR = "\n\n"
"""An empty line between documents, as perplexity is usually taken: natural text to a model trained with or without
an end-of-document token, which an instruction-tuned one would read as the end of a turn."""


class Tokenizer(Protocol):
    """What of a transformers tokenizer is used."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return the ids of a text; special tokens in it are parsed, and those around it added on request."""


@dataclass(frozen=True)
class Record:
    """One line of the evaluation text; `prompt` with its right `answer` where it asks something, both else empty."""

    name: str
    text: str
    prompt: str
    answer: str


def read_records(folder: Path) -> list[Record]:
    """Return the records of an evaluation-text artifact, which its task has checked."""
    parsed = [json.loads(line) for line in (folder / "text.jsonl").read_bytes().splitlines()]
    return [
        Record(str(entry.get("id", place)), entry["text"], entry.get("prompt", ""), entry.get("answer", ""))
        for place, entry in enumerate(parsed, 1)
    ]


def first_token_ids(tokenizer: Tokenizer) -> list[int]:
    """Return what the tokenizer puts before a text (its BOS, or nothing), as serving engines do."""
    bare = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a", add_special_tokens=True)
    starts = (start for start in range(len(full)) if full[start : start + len(bare)] == bare)
    return full[: next(starts, 0)]


def pack_windows(
    tokenizer: Tokenizer, records: Sequence[Record], first: Sequence[int], settings: EvaluationSettings
) -> NDArray[np.int32]:
    """Return int32 [windows, window_tokens]: the documents joined in order and cut into disjoint windows.

    Each window begins with `first`; a last partial one is left out. Raises InvalidRecipe where the text fills none.
    """
    payload = settings.window_tokens - len(first)
    needed = payload * settings.windows
    stream: list[int] = []
    for record in records:
        stream += tokenizer.encode(record.text + DOCUMENT_SEPARATOR, add_special_tokens=False)
        if len(stream) >= needed:
            break
    count = min(settings.windows, len(stream) // payload)
    if not count:
        raise InvalidRecipe(
            f"The evaluation text has {len(stream)} tokens, fewer than one window of {settings.window_tokens}; "
            "give it more text, or lower 'evaluation.window_tokens' in the recipe."
        )
    body = np.array(stream[: count * payload], np.int32).reshape(count, payload)
    return np.concatenate([np.tile(np.array(first, np.int32), (count, 1)), body], axis=1)
