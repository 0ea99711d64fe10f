"""The runner: an artifact in the engine that will serve it. One interface, so one evaluation serves all formats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Generation:
    """Greedy tokens, without the prompt's, and the seconds from the call until each of them was there."""

    token_ids: list[int]
    seconds: list[float]


class Runner(Protocol):
    """One loaded artifact.

    engine: name and version, such as "llama.cpp 0.3.36".
    emulated: True where the numbers come from another engine than the one that will serve the artifact.
    context_length: the most tokens one sequence may have.
    """

    engine: str
    emulated: bool
    vocabulary_size: int
    context_length: int

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield natural-log probabilities up to a constant of each row: [block, vocabulary], one row per given token.

        Row i is of the token after token_ids[: i + 1]. The sequence starts anew at each call; nothing is added to it
        (no BOS). The number of rows yielded is len(token_ids). A block may be the engine's own memory: it is valid
        until the next is asked for, and not to be written to.
        """

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        """Continue greedily (arg max) with the KV cache, until a stop id (not returned) or `max_tokens`."""

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of `text` by the artifact's own tokenizer: special tokens parsed, none added."""

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's own template, or None where it carries none."""

    def close(self) -> None:
        """Free the engine's memory."""
