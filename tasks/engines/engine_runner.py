"""The runner over a serving engine: the very code that is copied into an artifact is the code that is measured."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.engines.runner import Generation


class Engine(Protocol):
    """What the serving modules of formats offer. They may import nothing of ours, so they know this by shape only."""

    vocabulary_size: int
    context_length: int
    eos_ids: Any

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """As Runner.logits."""

    def generate(
        self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()
    ) -> tuple[list[int], list[float]]:
        """As Runner.generate: tokens, and the seconds until each."""

    def tokenize(self, text: str) -> list[int]:
        """As Runner.tokenize."""

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """As Runner.detokenize."""

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """As Runner.render_chat."""


class EngineRunner:
    """A Runner; `name` is the engine's name and version."""

    emulated = False

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = name
        self._engine: Engine | None = engine
        self.vocabulary_size = engine.vocabulary_size
        self.context_length = engine.context_length
        self.eos_ids = engine.eos_ids

    @property
    def _open(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("this runner has been closed")
        return self._engine

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield logits in blocks, the cache carried over; memory is bounded by a block."""
        return self._open.logits(token_ids)

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        """Continue greedily with the cache."""
        tokens, seconds = self._open.generate(token_ids, max_tokens, stop_ids)
        return Generation(tokens, seconds)

    def tokenize(self, text: str) -> list[int]:
        """Return ids by the artifact's own tokenizer."""
        return self._open.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return self._open.detokenize(token_ids)

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's own template."""
        return self._open.render_chat(messages, add_generation_prompt)

    def close(self) -> None:
        """Free the engine's memory."""
        self._engine = None
