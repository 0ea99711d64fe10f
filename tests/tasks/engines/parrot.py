"""An engine that needs no engine: it answers every text with the words in `weights.txt`, a character a token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Parrot:
    """Repeats its words for every prompt."""

    name = "parrot 1"
    vocabulary_size = 256
    context_length = block_tokens = block_rows = 4096

    def __init__(self, words: str) -> None:
        self.words = [*self.tokenize(words), 0]

    def start(self, length: int) -> list[int]:
        """Return the words that are still to be said."""
        return [*self.words]

    def advance(self, state: list[int], token_ids: Sequence[int], last_only: bool = False) -> Any:
        """Return rows in which the next word is the most likely token."""
        rows = np.zeros((1 if last_only else len(token_ids), self.vocabulary_size), np.float32)
        rows[-1, state.pop(0)] = 1
        return rows

    def ends(self, token: int) -> bool:
        """Return whether it is the NUL after the words."""
        return token == 0

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return code points."""
        return [ord(character) for character in text]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the characters."""
        return "".join(map(chr, token_ids))

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return no chat: there is no template."""
        return None

    def close(self) -> None:
        """Nothing to free."""


def open_engine(folder: Path, threads: int) -> Parrot:
    """Load the words."""
    return Parrot((folder / "weights.txt").read_text())
