"""What a sequence gives depends on itself alone, on a model whose rotary factors change beyond a length."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.tasks.evaluation.rows import log_softmax

np = pytest.importorskip("numpy")
llama_cpp = pytest.importorskip("llama_cpp")

from tasks.engines.llama_cpp import serving
from tasks.engines.llama_cpp.serving import LlamaCppEngine, open_engine
from tasks.engines.text_model import greedy, logits
from tasks.formats.gguf import ends
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.tasks.formats.gguf.writer import write_gguf

pytestmark = pytest.mark.runtime("llama-cpp")

SHORT, ORIGINAL, LONG = 200, 256, 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    program = Path(__file__).with_name("made_longrope.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([runtime("torch").python, program, folder], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def reference(made: Path) -> Any:
    return np.load(made / "reference.npz")


@pytest.fixture
def engine(made: Path) -> Iterator[Any]:
    opened = open_engine(made / "gguf-f16" / "output", 1)
    yield opened
    opened.close()


def rows_of(engine: Any, ids: Any) -> Any:
    return np.concatenate([block.copy() for block in logits(engine, [int(one) for one in ids])])


def divergence(engine: Any, wanted: Any, ids: Any) -> float:
    right, found = log_softmax(wanted), log_softmax(rows_of(engine, ids))
    return float((np.exp(right) * (right - found)).sum(-1).mean())


def test_short_long_and_short_again_are_the_sources(engine: Any, reference: Any) -> None:
    ids = reference["ids"]
    assert divergence(engine, reference["short"], ids[:SHORT]) < 1e-3
    assert divergence(engine, reference["long"], ids) < 1e-3
    assert divergence(engine, reference["short"], ids[:SHORT]) < 1e-3
    # The two sets of factors are as far from each other as a test needs.
    assert divergence(engine, reference["long"][:SHORT], ids[:SHORT]) > 0.05


@pytest.mark.parametrize(("key", "packed"), [("llama.attention.key_length", 1), ("llama.attention.key_length_mla", 0)])
def test_weights_of_latent_attention_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, packed: int
) -> None:
    """llama.cpp's code for AMX cannot run them, and ends the process."""
    tokens = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "\n"]}
    write_gguf(tmp_path / "tiny.gguf", {"general.architecture": "llama", **tokens, key: 64}, {})
    load, asked = llama_cpp.llama_model_load_from_file, list[bool]()

    def recorded(path: bytes, parameters: Any) -> Any:
        asked.append(parameters.use_extra_bufts)
        return load(path, parameters)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", recorded)
    with pytest.raises(ValueError, match=r"llama\.cpp cannot load tiny\.gguf"):
        open_engine(tmp_path, 1)  # It has no weights.
    assert asked == [bool(packed)]


def never(token: int) -> bool:
    return False


def test_a_text_is_the_same_alone_after_a_long_one_and_beside_it(engine: Any, reference: Any) -> None:
    ids = [int(one) for one in reference["ids"]]
    alone = list(greedy(engine, ids[:50], 6, never))
    list(greedy(engine, ids, 2, never))
    assert list(greedy(engine, ids[:50], 6, never)) == alone
    beside = [pair[0] for pair in zip(greedy(engine, ids[:50], 6, never), greedy(engine, ids, 6, never), strict=True)]
    assert beside == alone


def test_a_text_that_failed_leaves_nothing_behind(engine: Any, reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [int(one) for one in reference["ids"]]
    alone = list(greedy(engine, ids[:50], 6, never))
    real = engine._decode
    with monkeypatch.context() as patched:
        patched.setattr(engine, "_decode", lambda *given: (real(*given), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            list(greedy(engine, ids, 2, never))
    assert list(greedy(engine, ids[:50], 6, never)) == alone


def test_a_text_that_grows_beyond_the_length_is_read_again_with_the_other_factors(engine: Any, reference: Any) -> None:
    ids = [int(one) for one in reference["ids"]]
    begun = engine.start(ORIGINAL - 2)
    for token in [ids[: ORIGINAL - 2], *([one] for one in ids[ORIGINAL - 2 : LONG])]:
        rows = engine.advance(begun, token, last_only=True).copy()
    right, found = log_softmax(reference["long"][-1:]), log_softmax(rows)
    assert float((np.exp(right) * (right - found)).sum()) < 1e-3


def test_the_length_of_the_answer_that_is_allowed_changes_nothing(engine: Any, reference: Any) -> None:
    ids = [int(one) for one in reference["ids"][:50]]
    few = list(greedy(engine, ids, 3, never))
    said = greedy(engine, ids, ORIGINAL, never)
    assert [next(said) for _ in few] == few


def test_a_text_ends_where_both_llama_cpp_and_the_file_end_it(engine: Any) -> None:
    ends = [token for token in range(engine.vocabulary_size) if engine.ends(token)]
    assert ends == [1]
    # A base model's file does not name the end of a turn, which llama.cpp knows by its text.
    engine._ends = frozenset((5,))
    assert not engine.ends(1)
    # llama.cpp's server goes on after a token of the file that has no place in its fields.
    assert not engine.ends(5)
    engine._ends = None
    assert engine.ends(1)


def test_serving_and_the_converter_name_the_field_of_the_ends_alike() -> None:
    assert serving.END_IDS == ends.END_IDS


def test_an_engine_without_memory_for_a_context_frees_its_model(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = Mock(side_effect=llama_cpp.llama_model_free)
    monkeypatch.setattr(llama_cpp, "llama_model_free", free)
    monkeypatch.setattr(LlamaCppEngine, "new_context", Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        open_engine(made / "gguf-f16" / "output", 1)
    free.assert_called_once()


def test_the_reason_of_a_failure_is_not_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    serving._words.append("an earlier error")
    with pytest.raises(ValueError, match="llama.cpp cannot load broken.gguf") as raised:
        open_engine(tmp_path, 1)
    assert "an earlier error" not in str(raised.value)


def test_a_file_of_yarn_has_one_set_of_factors(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = serving.LlamaCppEngine._metadata

    def scaled(engine: Any, key: str) -> str | None:
        return "yarn" if key.endswith("rope.scaling.type") else real(engine, key)

    monkeypatch.setattr(serving.LlamaCppEngine, "_metadata", scaled)
    opened = open_engine(made / "gguf-f16" / "output", 1)
    assert opened._original == 0
    opened.close()
