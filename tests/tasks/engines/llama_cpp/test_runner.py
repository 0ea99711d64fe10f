"""The runner against transformers on one checkpoint, and against what MLflow serves."""

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.evaluation.rows import all_logits, log_softmax

np = pytest.importorskip("numpy")
pytest.importorskip("llama_cpp")

from tasks.engines.llama_cpp import serving
from tasks.engines.llama_cpp.runner import open_runner
from tasks.engines.text_model import TextModel, greedy, logits
from tasks.errors import Corrupt
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY

pytestmark = pytest.mark.runtime("llama-cpp")

TARGETS = ("gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "gguf-q2_k")


class Frame(dict[str, list[str]]):
    """As much of a pandas frame as serving uses."""

    def __init__(self, columns: dict[str, list[str]], index: object = None) -> None:
        super().__init__(columns)
        self.index = index


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    program = Path(__file__).with_name("made_artifacts.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([runtime("torch").python, program, folder], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def reference(made: Path) -> dict[str, Any]:
    return {**np.load(made / "reference.npz"), **json.loads((made / "reference.json").read_text())}


@pytest.fixture
def runner(made: Path) -> Iterator[Any]:
    opened = open_runner(made / "gguf-f16" / "output", 1)
    yield opened
    opened.close()


def measured(folder: Path, reference: dict[str, Any]) -> Any:
    """Return log-probabilities [texts, tokens, vocabulary]."""
    opened = open_runner(folder, 1)
    try:
        return log_softmax(np.stack([all_logits(opened, ids.tolist()) for ids in reference["ids"]]))
    finally:
        opened.close()


def test_f16_says_what_the_source_says(made: Path, reference: dict[str, Any]) -> None:
    found, wanted = measured(made / "gguf-f16" / "output", reference), log_softmax(reference["logits"])
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.01
    assert (found.argmax(-1) == wanted.argmax(-1)).mean() > 0.995


def test_fewer_bits_say_less(made: Path, reference: dict[str, Any]) -> None:
    wanted = log_softmax(reference["logits"])
    divergence = [
        float((np.exp(wanted) * (wanted - measured(made / name / "output", reference))).sum(-1).mean())
        for name in TARGETS
    ]
    assert divergence == sorted(divergence)
    assert divergence[0] < 1e-4 < divergence[2] < divergence[3] / 2


def test_small_blocks_make_no_difference(
    made: Path, runner: Any, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = reference["ids"][0].tolist()
    whole, said = all_logits(runner, ids), runner.generate(ids, 8)
    monkeypatch.setattr(serving, "LOGIT_BYTES", 7 * 4 * runner.vocabulary_size)
    small = open_runner(made / "gguf-f16" / "output", 1)
    blocks = [block.copy() for block in small.logits(ids)]
    assert [len(block) for block in blocks] == [7] * 28 + [4]
    assert np.abs(np.concatenate(blocks) - whole).max() < 0.03
    assert small.generate(ids, 8).token_ids == said.token_ids
    small.close()


def test_a_sequence_starts_afresh(runner: Any, reference: dict[str, Any]) -> None:
    ids = reference["ids"][1].tolist()
    first = all_logits(runner, ids)
    list(runner.logits(reference["ids"][2].tolist()))
    assert np.array_equal(all_logits(runner, ids), first)


def test_greedy_follows_the_log_probabilities(runner: Any, reference: dict[str, Any]) -> None:
    prompt = reference["ids"][0][:20].tolist()
    generation = runner.generate(prompt, 30)
    assert len(generation.token_ids) == len(generation.seconds) == 30
    assert generation.seconds == sorted(generation.seconds)
    rows = all_logits(runner, prompt + generation.token_ids)[len(prompt) - 1 : -1]
    best = rows.max(axis=1)
    assert (best - rows[np.arange(30), generation.token_ids] < 1e-2).all()


def test_a_stop_id_ends_and_is_left_out(runner: Any, reference: dict[str, Any]) -> None:
    prompt = reference["ids"][0][:20].tolist()
    tokens = runner.generate(prompt, 10).token_ids
    place = tokens.index(tokens[4])
    assert runner.generate(prompt, 10, [tokens[4]]).token_ids == tokens[:place]
    assert runner.generate(prompt, 0).token_ids == []


def test_the_context_is_the_models(runner: Any, reference: dict[str, Any]) -> None:
    ids = reference["ids"].reshape(-1).tolist()
    assert runner.context_length == 256
    assert len(runner.generate(ids[:250], 50).token_ids) == 6
    with pytest.raises(ValueError, match="257 tokens"):
        list(runner.logits(ids[:257]))
    with pytest.raises(ValueError, match="257 tokens"):
        runner.generate(ids[:257], 1)


def test_tokens_are_the_sources_and_nothing_is_added(runner: Any, reference: dict[str, Any]) -> None:
    assert runner.tokenize(reference["text"]) == reference["text_ids"]
    assert runner.tokenize("") == []
    assert runner.detokenize(reference["text_ids"]) == "She's sure\n\n 123 Möwen 🚀"


def test_the_chat_is_the_sources(runner: Any, reference: dict[str, Any]) -> None:
    assert runner.render_chat(reference["messages"], True) == reference["chat"]


def test_what_is_served_is_what_is_measured(made: Path, runner: Any) -> None:
    prompts = ["The lighthouse keeper", "def total(items):"]
    served = TextModel(serving.open_engine(made / "gguf-f16" / "output", 1))
    texts = served.predict(Frame({"prompt": prompts}, index=[3, 4]), {"max_tokens": 24})
    # Token 0 is the <s> that the source's tokenizer puts before a text.
    opened = [[0, *runner.tokenize(prompt)] for prompt in prompts]
    wanted = [runner.detokenize(runner.generate(ids, 24, [0, 1]).token_ids) for ids in opened]
    assert texts["text"] == wanted
    assert texts.index == [3, 4]
    again = served.predict(Frame({"prompt": [f"<s>{prompt}" for prompt in prompts]}), {"max_tokens": 24})
    assert again["text"] == wanted
    end = wanted[0][5:8]
    cut = served.predict(Frame({"prompt": prompts[:1]}), {"max_tokens": 24, "stop": [end]})
    assert cut["text"] == [wanted[0].split(end)[0]]


def test_streams_that_take_turns_say_what_each_says_alone(made: Path) -> None:
    model = TextModel(serving.open_engine(made / "gguf-f16" / "output", 1))
    prompts = [{"prompt": text} for text in ("The lighthouse keeper", "def total(items):")]
    alone = [model.predict(Frame({"prompt": [row["prompt"]]}), {"max_tokens": 24})["text"][0] for row in prompts]
    said, streams = ["", ""], [model.predict_stream(row, {"max_tokens": 24}) for row in prompts]
    for pieces in zip_longest(*streams, fillvalue=""):
        said = [text + piece for text, piece in zip(said, pieces, strict=True)]
    assert said == alone
    assert alone[0] != alone[1]


def test_a_sequence_is_read_again_after_another_had_the_context(
    made: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LOGIT_BYTES", 7 * 4 * reference["logits"].shape[-1])
    engine = serving.open_engine(made / "gguf-f16" / "output", 1)
    ids, prompt = reference["ids"][0][:40].tolist(), reference["ids"][1][:20].tolist()
    alone = np.concatenate([block.copy() for block in logits(engine, ids)])
    said_alone = list(greedy(engine, prompt, 6, lambda token: False))
    blocks, said = [], []
    for block, token in zip(logits(engine, ids), greedy(engine, prompt, 6, lambda token: False), strict=True):
        blocks.append(block.shape)
        said.append(token)
    assert said == said_alone
    assert blocks == [(7, alone.shape[1])] * 5 + [(5, alone.shape[1])]
    state = engine.start(40)
    rows = []
    for start in range(0, 40, 7):
        rows.append(engine.advance(state, ids[start : start + 7]).copy())
        engine.advance(engine.start(1), [5], last_only=True)
    assert np.abs(np.concatenate(rows) - alone).max() < 0.03
    engine.close()


def test_a_chat_is_answered_by_the_files_template(made: Path, runner: Any, reference: dict[str, Any]) -> None:
    model = TextModel(serving.open_engine(made / "gguf-f16" / "output", 1))
    text = "".join(model.predict_stream({"messages": reference["messages"]}, {"max_tokens": 12}))
    ids = runner.tokenize(reference["chat"])
    assert text == runner.detokenize(runner.generate(ids, 12, [1]).token_ids)


def test_a_file_that_llama_cpp_refuses_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    # llama.cpp's own words come first, and only those of this file.
    said = r"^gguf_init_from_\w+: .+: llama\.cpp cannot load broken\.gguf; run the release again with"
    for _ in range(2):
        with pytest.raises(Corrupt, match=said):
            open_runner(tmp_path, 1)


def test_missing_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.gguf").write_bytes(b"GGUF" + bytes(100))
    monkeypatch.setattr(serving, "_own_words", lambda: "load: failed to allocate buffer of size 9000000000")
    with pytest.raises(MemoryError, match="^load: failed to allocate buffer of size 9000000000"):
        open_runner(tmp_path, 1)


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_folder_without_its_one_file_is_reported(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(Corrupt, match=f"has one .gguf file at its root, and this one has {', '.join(names) or 'none'}"):
        open_runner(tmp_path, 1)


def test_errors_are_logged_and_nothing_else(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_runner(made / "gguf-f16" / "output", 1).close()
    assert capfd.readouterr().err == ""
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(Corrupt):
        open_runner(tmp_path, 1)
    assert "failed to load model" in capfd.readouterr().err


def test_a_context_that_could_not_be_made_does_not_break_the_next_text(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_runner(made / "gguf-f16" / "output", 1)
    model: Any = opened._model
    wanted = list(greedy(model, [5, 6, 7], 4, lambda _: False))
    bindings = pytest.importorskip("llama_cpp")
    real = bindings.llama_init_from_model
    monkeypatch.setattr(bindings, "llama_init_from_model", lambda *_: None)
    with pytest.raises(MemoryError, match="cannot make a context"):
        model._make_room(model.context_length)
    monkeypatch.setattr(bindings, "llama_init_from_model", real)
    assert list(greedy(model, [5, 6, 7], 4, lambda _: False)) == wanted
    opened.close()
