"""Greedy tokens of prompts that an engine decodes together, and of each alone."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.engines.batch import Batch, GreedyBatch
from tasks.engines.runner import Runner
from tests.tasks.evaluation.rows import all_logits

Tokens = NDArray[np.int64]


def prompts(vocabulary_size: int, sequences: int = 5, length: int = 20) -> Tokens:
    """Return prompts [sequences, tokens] that differ from the first token on."""
    found: Tokens = np.random.default_rng(1).permutation(np.arange(2, vocabulary_size))[: sequences * length]
    return found.reshape(sequences, length)


def alone(runner: Runner, given: Tokens, tokens: int) -> Tokens:
    """Return the greedy tokens [sequences, tokens] of each prompt alone."""
    return np.array([runner.generate(prompt, tokens).token_ids for prompt in given.tolist()])


def together(runner: Runner, given: Tokens, tokens: int) -> Tokens:
    """Return the same of all together, in two calls."""
    with closing(runner.together(given, tokens)) as batch:
        steps = [batch.generate(3), batch.generate(tokens - 3)]
    assert [len(one.seconds) for one in steps] == [3, tokens - 3]
    return np.concatenate([one.token_ids for one in steps], axis=1)


def below_largest(runner: Runner, prompt: Sequence[int], said: Sequence[int]) -> float:
    """Return how far the logits of a greedy continuation are below the largest ones, at most.

    They are those of a forward of the whole text. An engine may round otherwise when it reads several sequences or
    fewer tokens, and takes another of two tokens that are almost equally likely.
    """
    rows = all_logits(runner, [*prompt, *said])[len(prompt) - 1 : -1]
    return float((rows.max(-1) - rows[np.arange(len(said)), said]).max())


class Swapped:
    """A fault: after the prompts, the first two sequences have each other's state."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def advance(self, token_ids: Tokens) -> Any:
        if token_ids.shape[1] == 1:
            return self._batch.advance(token_ids)
        order = [1, 0, *range(2, len(token_ids))]
        return self._batch.advance(np.ascontiguousarray(token_ids[order]))[order]

    def close(self) -> None:
        self._batch.close()


def with_swapped_states(runner: Runner, given: Tokens, tokens: int) -> Tokens:
    """Return what `together` returns with the fault."""
    usual: Callable[[int, int], Batch] | None = runner._open_batch
    assert usual
    batch = GreedyBatch(lambda *asked: Swapped(usual(*asked)), given, tokens, runner._model.block_tokens)
    with closing(batch):
        return batch.generate(tokens).token_ids
