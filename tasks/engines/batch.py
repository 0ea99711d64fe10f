"""Several sequences that an engine decodes together. Only timing does so: serving reads one sequence at a time.

An engine gives its runner a function that opens a `Batch`. An engine whose state may have several sequences, because
its arrays have a dimension for them, gives `StackedBatch`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.engines.failures import engine_at_work
from tasks.errors import Unsupported


class Batch(Protocol):
    """Sequences of equal length. Each gives what it would give alone. Not for use by two threads at once."""

    def advance(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the next tokens of every sequence, and return the logits after the last of each.

        token_ids: [sequences, tokens], at most `LoadedModel.block_tokens` in all, but one for each sequence anyway.

        Returns [sequences, vocabulary]. It may be the engine's own memory: valid until the next call.
        """

    def close(self) -> None:
        """Free the memory of the sequences. The engine stays open."""


OpenBatch = Callable[[int, int], Batch]
"""Opens a batch: (how many sequences, how many tokens each is going to have at most)."""


class Stacking(Protocol):
    """An engine whose states may have several sequences."""

    def start(self, length: int) -> Any:
        """Return the state of fresh sequences; see `LanguageModel.start`."""

    def read(self, state: Any, token_ids: NDArray[np.int64], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens, [sequences, tokens], and return logits, [sequences, rows, vocabulary]."""


class StackedBatch:
    """A batch in one state of an engine."""

    def __init__(self, engine: Stacking, sequences: int, length: int) -> None:
        """Begin the sequences. The state takes their number from the first tokens."""
        self._engine, self._state = engine, engine.start(length)

    def advance(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the next tokens of every sequence."""
        return self._engine.read(self._state, token_ids, last_only=True)[:, -1]

    def close(self) -> None:
        """Drop the state."""
        self._state = None


@dataclass(frozen=True)
class Steps:
    """Greedy tokens [sequences, steps], and the seconds that each step took."""

    token_ids: NDArray[np.int64]
    seconds: list[float]


class GreedyBatch:
    """Continues several prompts of equal length together, greedily. No token ends a sequence."""

    def __init__(self, open_batch: OpenBatch, prompts: NDArray[np.int64], max_tokens: int, block_tokens: int) -> None:
        """Read the prompts [sequences, tokens] in blocks of at most `block_tokens`, those of all sequences together.

        Raises Unsupported, with the engine's own words, where it fails, and MemoryError where it gets no memory.
        """
        sequences, length = prompts.shape
        width = max(1, block_tokens // sequences)
        with engine_at_work(Unsupported):
            self._batch = open_batch(sequences, length + max_tokens)
        try:
            for start in range(0, length, width):
                self._next = self._advance(prompts[:, start : start + width])
        except BaseException:
            self._batch.close()
            raise

    def generate(self, steps: int) -> Steps:
        """Continue every sequence by so many tokens: the next ones, if it was called before.

        Raises what the constructor raises.
        """
        said, seconds = list[NDArray[np.int64]](), list[float]()
        for _ in range(steps):
            began = time.perf_counter()
            said.append(self._next)
            self._next = self._advance(self._next[:, None])
            seconds.append(time.perf_counter() - began)
        return Steps(np.stack(said, axis=1), seconds)

    def close(self) -> None:
        """Free the memory of the sequences."""
        self._batch.close()

    def _advance(self, token_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the most likely next token of every sequence, the lowest id of equally likely ones."""
        with engine_at_work(Unsupported):
            rows = self._batch.advance(np.ascontiguousarray(token_ids))
        best: NDArray[np.int64] = rows.argmax(axis=1)
        return best
