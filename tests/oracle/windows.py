"""Cuts the evaluation text into the windows of tokens that docs/design.md describes, with the tokenizers' libraries."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Cut = Callable[[str], Sequence[int]]


def cut_by_file(folder: Path) -> Cut:
    """Return what cuts a text by tokenizer.json: special tokens are parsed, none is added."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def cut_by_sentencepiece(folder: Path) -> Cut:
    """Return what cuts a text by tokenizer.model: special tokens are parsed, none is added.

    For the library itself they are plain text, so it gets what stands between them. Of a model that puts a space before
    a text, the parts would get one, too; such a model is refused by an assertion.
    """
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert pieces.encode("a") == pieces.encode("a a")[:1], "the model puts a space before a text"
    numbers = range(pieces.get_piece_size())
    special = {pieces.id_to_piece(one): one for one in numbers if pieces.is_control(one) or pieces.is_unknown(one)}
    places = re.compile(f"({'|'.join(map(re.escape, special))})")
    return lambda text: [
        token for part in places.split(text) for token in ([special[part]] if part in special else pieces.encode(part))
    ]


def join(cut: Cut, texts: Sequence[str], opening: Sequence[int], end: int) -> list[int]:
    """Return the tokens of all texts: each begins with `opening` and ends with `end`; the first has no opening."""
    joined: list[int] = []
    for text in texts:
        joined += [*cut(text), end, *opening]
    return joined


def windows(joined: Sequence[int], opening: Sequence[int], length: int, count: int) -> NDArray[np.int64]:
    """Return ids [count or fewer, length]: disjoint parts of the joined text, each with `opening` before it.

    A part that begins with `opening` anyway does not get it twice.
    """
    found, rest, first = list[list[int]](), list(joined), list(opening)
    while len(found) < count:
        if first and rest[: len(first)] == first:
            rest = rest[len(first) :]
        part, rest = rest[: length - len(first)], rest[length - len(first) :]
        if len(part) < length - len(first):
            break
        found.append(first + part)
    return np.array(found, np.int64)


def read_texts(path: Path) -> list[str]:
    """Return the texts of a file of JSON lines."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
