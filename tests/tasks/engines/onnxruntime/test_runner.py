"""Sequences that onnxruntime decodes together give what each gives alone, by numpy."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tasks.engines.onnxruntime import runner as module
from tasks.engines.onnxruntime import serving
from tasks.engines.onnxruntime.runner import open_runner
from tasks.errors import Corrupt, Unsupported
from tests.tasks.engines.together import Tokens, alone, prompts, together, with_swapped_states
from tests.tasks.formats.onnx import toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_toy(tmp_path_factory.mktemp("toy"), external=True)


def by_numpy(given: Tokens, tokens: int) -> Tokens:
    said = []
    for prompt in given.tolist():
        ids = list(prompt)
        for _ in range(tokens):
            ids.append(int(toy.expected_logits(ids)[-1].argmax()))
        said.append(ids[len(prompt) :])
    return np.array(said)


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RuntimeError("std::bad_alloc"), MemoryError, "std::bad_alloc"),
        (RuntimeError("DefaultCPUAllocator: ... Error code 12 (Cannot allocate memory)"), MemoryError, "12"),
        (Unsupported("not here"), Unsupported, "not here"),
        (RuntimeError(), Corrupt, "onnxruntime cannot load the artifact: RuntimeError"),
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
    wanted = by_numpy(given, 12)
    assert len({tuple(row) for row in wanted.tolist()}) == len(given)
    assert np.array_equal(alone(runner, given, 12), wanted)
    assert np.array_equal(together(runner, given, 12), wanted)
    monkeypatch.setattr(serving, "BLOCK_ROWS", 17)  # Three tokens of each sequence at a time.
    assert np.array_equal(together(runner, given, 12), wanted)


def test_swapped_states_give_something_else(folder: Path) -> None:
    runner = open_runner(folder, 1)
    given = prompts(runner.vocabulary_size)
    wanted, found = by_numpy(given, 12), with_swapped_states(runner, given, 12)
    assert not np.array_equal(found[:2], wanted[:2])
    assert np.array_equal(found[2:], wanted[2:])


def test_a_graph_for_one_sequence_is_served_and_not_decoded_together(tmp_path: Path) -> None:
    toy.write_toy(tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    for given in model.graph.input:
        dimension = given.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_value = 1
    onnx.save_model(model, str(tmp_path / "model.onnx"))
    runner = open_runner(tmp_path, 1)
    ids = prompts(runner.vocabulary_size)
    assert np.array_equal(alone(runner, ids, 4), by_numpy(ids, 4))
    with pytest.raises(Unsupported, match="Got invalid dimensions for input"):
        runner.together(ids, 4)
