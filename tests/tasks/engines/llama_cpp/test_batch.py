"""Sequences that llama.cpp decodes together give what each gives alone."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
llama_cpp = pytest.importorskip("llama_cpp")

from tasks.engines.llama_cpp.runner import open_runner
from tasks.errors import Unsupported
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.tasks.engines.together import Tokens, alone, below_largest, prompts, together, with_swapped_states

pytestmark = pytest.mark.runtime("llama-cpp")

ORIGINAL = 256
TIE = 0.1
"""Logits of tokens that the kernels of some processors rank otherwise when they read several sequences."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with other rotary factors beyond ORIGINAL tokens."""
    folder = tmp_path_factory.mktemp("made")
    program = Path(__file__).with_name("made_longrope.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([runtime("torch").python, program, folder], env=environment, check=True, capture_output=True)
    return folder / "gguf-f16" / "output"


@pytest.fixture
def runner(made: Path) -> Iterator[Any]:
    opened = open_runner(made, 1)
    yield opened
    opened.close()


def furthest(runner: Any, given: Tokens, said: Tokens) -> list[float]:
    """Return how far the logits of each sequence's tokens are below the largest ones, at most."""
    rows = zip(given.tolist(), said.tolist(), strict=True)
    return [below_largest(runner, prompt, tokens) for prompt, tokens in rows]


@pytest.mark.parametrize("length", [1, 20])
def test_sequences_give_what_each_gives_alone(runner: Any, length: int) -> None:
    given = prompts(runner.vocabulary_size, length=length)
    wanted = alone(runner, given, 12)
    assert len({tuple(row) for row in wanted.tolist()}) == len(given)
    assert max(furthest(runner, given, together(runner, given, 12))) < TIE
    # The context that serves is another one.
    assert np.array_equal(alone(runner, given, 12), wanted)


def test_swapped_states_give_something_else(runner: Any) -> None:
    given = prompts(runner.vocabulary_size)
    first, second, *others = furthest(runner, given, with_swapped_states(runner, given, 12))
    assert min(first, second) > TIE > max(others)


def test_long_prompts_are_read_in_blocks_with_the_factors_of_their_length(runner: Any) -> None:
    ids = np.random.default_rng(2).integers(2, runner.vocabulary_size, (3, ORIGINAL + 20))
    assert ids.size > runner._model.block_tokens
    for given in (ids, ids[:, : ORIGINAL - 40]):
        assert max(furthest(runner, given, together(runner, given, 6))) < TIE


def test_no_memory_for_the_context_is_reported_and_the_engine_goes_on(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = prompts(runner.vocabulary_size)
    with monkeypatch.context() as patched:
        patched.setattr(llama_cpp, "llama_init_from_model", lambda *_: None)
        with pytest.raises(MemoryError, match="cannot make a context of 1280 tokens"):
            runner.together(given, 4)
    assert max(furthest(runner, given, together(runner, given, 4))) < TIE


def test_more_tokens_than_there_is_room_for_end_in_llama_cpps_words(runner: Any) -> None:
    batch = runner.together(prompts(runner.vocabulary_size), 4)
    with pytest.raises(Unsupported, match="could not run the model over 257 tokens"):
        batch.generate(ORIGINAL)
    batch.close()
    batch.close()  # Freed once.


@pytest.mark.parametrize("kind", ["llama_model_is_recurrent", "llama_model_is_hybrid"])
def test_recurrent_layers_are_refused(runner: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """tests/matrix has such models, and llama.cpp gives their second sequence wrong tokens."""
    monkeypatch.setattr(llama_cpp, kind, lambda model: True)
    with pytest.raises(Unsupported, match="wrong tokens for several sequences of a model with recurrent layers"):
        runner.together(prompts(runner.vocabulary_size), 4)
