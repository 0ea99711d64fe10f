"""Greedy steps of several sequences, over engines of a few lines."""

import time
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.engines.batch import GreedyBatch, StackedBatch
from tasks.errors import Unsupported

PROMPTS = np.array([[3, 4, 5, 6, 7], [9, 9, 9, 9, 9], [1, 0, 0, 0, 2]])
VOCABULARY = 50


class Sums:
    """Its next token is the sum of all tokens of the sequence, and it is as slow as a test needs."""

    seconds = 0.0

    def __init__(self) -> None:
        self.blocks: list[tuple[int, ...]] = []
        self.lengths: list[int] = []

    def start(self, length: int) -> list[NDArray[np.int64]]:
        self.lengths.append(length)
        return []

    def read(
        self, state: list[NDArray[np.int64]], token_ids: NDArray[np.int64], last_only: bool = False
    ) -> NDArray[np.float32]:
        assert token_ids.flags.c_contiguous
        assert last_only, "a row for every token of a prompt takes memory"
        time.sleep(self.seconds)
        self.blocks.append(token_ids.shape)
        state.append(token_ids)
        sums = np.cumsum(np.concatenate(state, axis=1), axis=1)[:, -token_ids.shape[1] :]
        rows = np.eye(VOCABULARY, dtype=np.float32)[sums % VOCABULARY]
        return rows[:, -1:]


def begun(engine: Sums, block_tokens: int = 512) -> GreedyBatch:
    return GreedyBatch(lambda *asked: StackedBatch(engine, *asked), PROMPTS, 6, block_tokens)


def expected(tokens: int) -> list[list[int]]:
    said = []
    for prompt in PROMPTS.tolist():
        ids = list(prompt)
        for _ in range(tokens):
            ids.append(sum(ids) % VOCABULARY)
        said.append(ids[len(prompt) :])
    return said


def test_every_sequence_is_continued_and_goes_on_where_it_ended() -> None:
    engine = Sums()
    with closing(begun(engine)) as batch:
        first, second = batch.generate(2), batch.generate(4)
    assert np.concatenate([first.token_ids, second.token_ids], axis=1).tolist() == expected(6)
    assert engine.blocks == [(3, 5), *[(3, 1)] * 6]
    assert engine.lengths == [11]


@pytest.mark.parametrize(("block_tokens", "widths"), [(6, [2, 2, 1]), (2, [1] * 5)])
def test_prompts_are_read_in_blocks_of_all_sequences(block_tokens: int, widths: list[int]) -> None:
    engine = Sums()
    assert begun(engine, block_tokens).generate(6).token_ids.tolist() == expected(6)
    assert engine.blocks[: len(widths)] == [(3, width) for width in widths]


def test_each_step_has_its_seconds() -> None:
    engine = Sums()
    batch = begun(engine)
    engine.seconds = 0.01
    began = time.perf_counter()
    seconds = batch.generate(4).seconds
    assert len(seconds) == 4 and min(seconds) >= 0.01
    assert sum(seconds) <= time.perf_counter() - began


class Failing:
    """A batch that fails after some calls, and counts how often it is closed."""

    def __init__(self, calls: int, error: Exception) -> None:
        self.calls, self.error, self.closed = calls, error, 0

    def advance(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        if not self.calls:
            raise self.error
        self.calls -= 1
        return np.zeros((len(token_ids), VOCABULARY), np.float32)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("error", "raised"), [(RuntimeError("no such kernel."), Unsupported), (RuntimeError("bad_alloc"), MemoryError)]
)
def test_a_failure_has_the_engines_words_and_frees_the_batch(error: Exception, raised: type[Exception]) -> None:
    in_the_prompt = Failing(0, error)
    with pytest.raises(raised, match="no such kernel$|bad_alloc"):
        GreedyBatch(lambda *_: in_the_prompt, PROMPTS, 6, 512)
    assert in_the_prompt.closed == 1
    later = Failing(2, error)
    batch = GreedyBatch(lambda *_: later, PROMPTS, 6, 512)
    with pytest.raises(raised, match="no such kernel$|bad_alloc"), closing(batch):
        batch.generate(6)
    assert later.closed == 1


def test_an_engine_that_cannot_open_a_batch_is_reported() -> None:
    def refuse(sequences: int, length: int) -> Failing:
        raise ValueError(f"{sequences} sequences of {length} tokens")

    with pytest.raises(Unsupported, match="3 sequences of 11 tokens"):
        GreedyBatch(refuse, PROMPTS, 6, 512)
