"""An engine that needs no engine: it answers every text with the words in `weights.txt`, a character a token."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Parrot:
    """Says its words, whatever it is told."""

    def __init__(self, words: str) -> None:
        self.words = words

    def tokenize(self, text: str) -> list[int]:
        """Return code points."""
        return [ord(character) for character in text]

    prompt_ids = tokenize

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the characters."""
        return "".join(map(chr, token_ids))

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return no chat: there is no template."""
        return None

    def answer(self, token_ids: Sequence[int], max_tokens: int) -> Iterator[int]:
        """Yield the words."""
        yield from self.tokenize(self.words[:max_tokens])


def open_engine(folder: Path, threads: int) -> Parrot:
    """Load the words."""
    return Parrot((folder / "weights.txt").read_text())
