"""The tokenizer loads and splits texts, within limits, and gives no id that the embedding has no row for."""

import sys
from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.checkpoint.embedding import count_tokens, find_embedding
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.checks.sandbox import Exceeded, Failed, ask
from tasks.source.parameters import ScanParameters

SCRIPT = Path(__file__).parent / "load_tokenizer.py"
FILES = ("tokenizer.json", *SENTENCEPIECE)
"""Where a tokenizer may be; the first that is there is looked at, as transformers does."""

TEXTS = (
    "A hallmark is struck on metal after it has been assayed: 925.",
    # Patterns that backtrack do so on runs of one sign, which a server's users can send as well.
    *(sign * 4096 for sign in "a1 -\n"),
)


def check_tokenizer(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Corrupt where the file does not load or has more tokens than the model, Refused where it does not end."""
    file = next((name for name in FILES if (snapshot.folder / name).is_file()), None)
    if file is None:
        return f"there is no {FILES[0]}", False
    size = _rows(snapshot)
    answer = _load(snapshot.folder / file, size)
    if answer.get("error"):
        raise Corrupt(f"{file} does not load ({reason(answer['error'])}); ask the publisher to fix it.")
    if answer["outside"]:
        token, number = answer["outside"]
        raise Corrupt(
            f"{file}: token {reason(token)!r} has the id {number}, but config.json: vocab_size is {size}; "
            "ask the publisher to fix it."
        )
    if answer["empty"]:
        raise Corrupt(f"{file} makes no tokens of plain text; ask the publisher to fix it.")
    # Families of several modalities ship their text models with added tokens that only the larger ones have rows for.
    note = f", of which {answer['added']} added ones have no row in the embedding" if answer["added"] else ""
    return f"{file} loads: {answer['tokens']} tokens{note}", True


def _rows(snapshot: Snapshot) -> int:
    """Tokens that the model has: by config.json or, where it leaves that to the family's default, the embedding."""
    found = find_embedding(snapshot.tensors)
    config = snapshot.config
    return config.vocabulary_size or (count_tokens(config, snapshot.tensors[found[0]]) if found else sys.maxsize)


def _load(path: Path, size: int) -> dict[str, Any]:
    try:
        return ask(SCRIPT, {"path": str(path.absolute()), "texts": TEXTS, "vocabulary_size": size})
    except Exceeded as error:
        raise Refused(
            f"{path.name} does not load and split a text within a minute and 4 GB; do not use this repository."
        ) from error
    except Failed as error:
        raise Corrupt(f"{path.name} does not split plain text ({error}); ask the publisher to fix it.") from error
