"""Checks that the tokenizer loads, splits texts and decodes tokens, within limits, and that each id has a row."""

import re
import sys
from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.checkpoint.embedding import count_tokens, find_embedding
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused, Unsupported
from tasks.source.checks.sandbox import Exceeded, Failed, ask
from tasks.source.parameters import ScanParameters

SCRIPT = Path(__file__).parent / "load_tokenizer.py"
FILES = ("tokenizer.json", *SENTENCEPIECE)
"""Files in which a tokenizer may be. As in transformers, the first that exists is used."""

LONGEST_LINE = 4096
"""The most bytes that are read of a file's first line."""

TEXTS = (
    "A hallmark is struck on metal after it has been assayed: 925.",
    # Regular expressions that backtrack do so on runs of one character. A server's users can send such texts.
    *(sign * 4096 for sign in "a1 -\n"),
)


def check_tokenizer(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt where the file does not load, has more tokens than the model, or does not decode one of them.

    Raises Refused for exceeded limits, and Unsupported for a vocabulary of tiktoken.
    """
    file = next((name for name in FILES if (snapshot.folder / name).is_file()), None)
    if file is None:
        return f"there is no {FILES[0]}", False
    if file != FILES[0] and _is_of_tiktoken(snapshot.folder / file):
        raise Unsupported(
            f"{file} is a vocabulary of tiktoken, which has neither the pattern nor the special tokens of a tokenizer; "
            f"ask the publisher to add {FILES[0]}."
        )
    size = _rows(snapshot)
    answer = _load(snapshot.folder / file, size)
    if answer.get("error"):
        raise Corrupt(f"{file} does not load ({reason(answer['error'])}); ask the publisher to fix it.")
    if answer["outside"]:
        token, number = answer["outside"]
        counted = "vocab_size in config.json" if snapshot.config.vocabulary_size else "the rows of its embedding"
        raise Corrupt(
            f"{file}: token {reason(token)!r} has the id {number}, but the model has {size} tokens ({counted}); "
            "ask the publisher to fix it."
        )
    if answer["empty"]:
        raise Corrupt(f"{file} makes no tokens of plain text; ask the publisher to fix it.")
    if answer["undecodable"]:
        token, error = answer["undecodable"]
        what = f"the token {reason(repr(token))} alone" if token else "a text without tokens"
        raise Corrupt(f"{file}: its decoder fails on {what} ({reason(error)}); ask the publisher to fix it.")
    # Text models of multimodal families may list added tokens for which only the larger models have rows.
    note = f", of which {answer['added']} added ones have no row in the embedding" if answer["added"] else ""
    return f"{file} loads: {answer['tokens']} tokens{note}", True


def _is_of_tiktoken(path: Path) -> bool:
    """Whether each line of a file is a token in base64 and its rank, by the first line. Llama 3 has such a file."""
    with path.open("rb") as file:
        return re.fullmatch(rb"[A-Za-z0-9+/]+=* [0-9]+\r?\n", file.readline(LONGEST_LINE)) is not None


def _rows(snapshot: Snapshot) -> int:
    """The model's number of tokens: from config.json or, where config.json does not say, from the embedding."""
    config = snapshot.config
    found = find_embedding(snapshot.tensors, config.tied)
    return config.vocabulary_size or (count_tokens(config, snapshot.tensors[found[0]]) if found else sys.maxsize)


def _load(path: Path, size: int) -> dict[str, Any]:
    try:
        return ask(SCRIPT, {"path": str(path.absolute()), "texts": TEXTS, "vocabulary_size": size})
    except Exceeded as error:
        raise Refused(
            f"{path.name} exceeds its limits of a minute and 4 GB when it is loaded, tokenizes texts and decodes its "
            "tokens; do not use this repository."
        ) from error
    except Failed as error:
        raise Corrupt(f"{path.name} does not tokenize plain text ({error}); ask the publisher to fix it.") from error
