"""Sequences that transformers decodes together give what each gives alone."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")

from tasks.engines.transformers import runner as module
from tasks.engines.transformers import serving
from tasks.engines.transformers.runner import open_runner
from tasks.errors import Corrupt, Unsupported
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.longrope import tiny_longrope
from tests.tasks.engines.together import alone, below_largest, prompts, together, with_swapped_states


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny.tiny_llama(hidden_size=256, intermediate_size=512, initializer_range=0.1)
    return tiny.write_checkpoint(tmp_path_factory.mktemp("artifact"), config, dtype="bfloat16")


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RuntimeError("std::bad_alloc"), MemoryError, "std::bad_alloc"),
        (RuntimeError("DefaultCPUAllocator: ... Error code 12 (Cannot allocate memory)"), MemoryError, "12"),
        (Unsupported("not here"), Unsupported, "not here"),
        (RuntimeError(), Corrupt, "transformers cannot load the artifact: RuntimeError"),
    ],
)
def test_what_opening_raises_keeps_its_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], words: str
) -> None:
    monkeypatch.setattr(module, "open_engine", Mock(side_effect=error))
    with pytest.raises(raised, match=words):
        open_runner(folder, 1)


def test_sequences_give_what_each_gives_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(folder, 1)
    given = prompts(runner.vocabulary_size)
    wanted = alone(runner, given, 12)
    assert len({tuple(row) for row in wanted.tolist()}) == len(given)
    assert np.array_equal(together(runner, given, 12), wanted)
    with monkeypatch.context() as patched:
        patched.setattr(serving, "BLOCK_ROWS", 17)  # Three tokens of each sequence at a time.
        found = together(runner, given, 12)
    # Some processors round sums of bf16 otherwise if they read fewer tokens at a time.
    assert max(map(below_largest, [runner] * len(given), given.tolist(), found.tolist())) < 0.1


def test_swapped_states_give_something_else(folder: Path) -> None:
    runner = open_runner(folder, 1)
    given = prompts(runner.vocabulary_size)
    wanted, found = alone(runner, given, 12), with_swapped_states(runner, given, 12)
    assert not np.array_equal(found[:2], wanted[:2])
    assert np.array_equal(found[2:], wanted[2:])


def test_an_architecture_that_computes_all_rows_gives_the_same(folder: Path) -> None:
    runner = open_runner(folder, 1)
    given = prompts(runner.vocabulary_size)
    wanted = together(runner, given, 12)
    runner._model._keeps_logits = False  # type: ignore[attr-defined]
    assert np.array_equal(together(runner, given, 12), wanted)


@pytest.mark.parametrize("length", [200, 300])
def test_rotary_factors_are_those_of_the_length(tmp_path: Path, length: int) -> None:
    folder = tiny.write_checkpoint(tmp_path, tiny_longrope(256, 1024), dtype="bfloat16")
    runner = open_runner(folder, 1)
    given = np.random.default_rng(0).integers(2, tiny.VOCABULARY, (3, length))
    wanted = alone(runner, given, 6)
    # The last sequence was of the other kind.
    alone(runner, given[:, : 500 - length], 1)
    assert np.array_equal(together(runner, given, 6), wanted)
