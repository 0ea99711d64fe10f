"""The engine against transformers itself: blocks, cache, greedy text, prompts and chats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tasks.engines.text_model import TextModel, greedy
from tasks.engines.transformers import serving
from tasks.engines.transformers.runner import open_runner
from tasks.errors import Corrupt
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.longrope import tiny_longrope
from tests.fixtures.prefix_space import write_prefix_space_tokenizer
from tests.tasks.engines.frames import Frame
from tests.tasks.evaluation.rows import all_logits

PROMPT = "Mira keeps nine</s> blue kites, 你好 🙂 def add("


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("artifact"))


def write(folder: Path, opens: bool = False) -> Path:
    config = tiny.tiny_llama(hidden_size=128, intermediate_size=768, tie_word_embeddings=False)
    return tiny.write_checkpoint(folder, config, dtype="bfloat16", opens=opens)


def test_ends_are_those_of_every_file_and_no_default_of_the_library(tmp_path: Path) -> None:
    copy = write(tmp_path / "ends")
    for name, ends in (("config.json", 7), ("generation_config.json", [300, -1])):
        content = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps({**content, "eos_token_id": ends}))
    # 1 is the tokenizer's.
    assert open_runner(copy, 1).end_ids == {1, 7, 300}
    for name in ("config.json", "generation_config.json"):
        content = json.loads((copy / name).read_text())
        content.pop("eos_token_id")
        (copy / name).write_text(json.dumps(content))
    assert open_runner(copy, 1).end_ids == {1}


def test_a_continuation_keeps_the_space_that_its_decoder_would_drop(tmp_path: Path) -> None:
    copy = write(tmp_path / "spaces")
    write_prefix_space_tokenizer(copy)
    runner = open_runner(copy, 1)
    ids = runner.tokenize("Once upon a time")
    cut = next(place for place in range(1, len(ids)) if runner.detokenize(ids[:place]) == "Once upon a")
    assert runner.detokenize(ids[cut:]) == "time"
    assert runner.continuation_text(ids[:cut], ids[cut:]) == " time"
    prompt = [0, *ids[:cut]]
    said = runner.generate(prompt, 12, runner.end_ids).token_ids
    served = TextModel(serving.open_engine(copy, 1)).complete("Once upon a", 12)
    assert served == runner.continuation_text(prompt, said)


def test_the_runner_says_what_transformers_says_in_bf16(folder: Path) -> None:
    runner = open_runner(folder, 1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    ids = runner.tokenize(PROMPT)
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids])).logits[0].float()
    assert torch.equal(torch.from_numpy(all_logits(runner, ids)), expected)
    assert "bfloat16" in runner.engine
    assert (runner.vocabulary_size, runner.context_length) == (tiny.VOCABULARY, 512)


def test_blocks_carry_the_cache_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_runner(folder, 1)
    ids = list(range(50))
    whole = all_logits(runner, ids)
    monkeypatch.setattr(serving, "BLOCK_ROWS", 7)
    blocks = list(runner.logits(ids))
    assert [len(block) for block in blocks] == [7] * 7 + [1]
    # bf16 sums in another order; a forgotten cache is off by whole nats.
    assert np.abs(np.concatenate(blocks) - whole).max() < 0.3
    assert np.abs(np.concatenate(blocks) - whole).mean() < 0.02


def test_step_by_step_is_the_full_forward(folder: Path) -> None:
    runner = open_runner(folder, 1)
    ids = runner.tokenize(PROMPT)
    generation = runner.generate(ids, 10)
    rows = all_logits(runner, ids + generation.token_ids)[len(ids) - 1 : -1]
    chosen = rows[np.arange(10), generation.token_ids]
    # The one forward may round a tie the other way; then both tokens are equally likely.
    assert np.abs(rows.max(-1) - chosen).max() < 0.1
    assert generation.seconds == sorted(generation.seconds)
    stop = generation.token_ids[4]
    stopped = runner.generate(ids, 10, [stop]).token_ids
    assert stopped == generation.token_ids[: generation.token_ids.index(stop)]


def test_predict_gives_the_runners_greedy_text(folder: Path) -> None:
    runner = open_runner(folder, 1)
    said = runner.generate(runner.tokenize("Mira keeps"), 10, [1]).token_ids
    model = TextModel(serving.open_engine(folder, 1))
    found = model.predict(Frame({"prompt": ["Mira keeps"]}), {"max_tokens": 10})
    assert found["text"] == [runner.detokenize(said)]
    chat = runner.render_chat([{"role": "user", "content": "hi"}], True)
    assert chat == "<s><|user|>\nhi</s>\n<|assistant|>\n"


def test_a_prompt_is_opened_as_the_tokenizer_opens_texts(folder: Path, tmp_path: Path) -> None:
    copy = write(tmp_path / "opening", opens=True)
    runner, plain = open_runner(folder, 1), TextModel(serving.open_engine(folder, 1))
    assert plain.prompt_ids("Mira") == runner.tokenize("Mira")
    opening = TextModel(serving.open_engine(copy, 1))
    assert opening.prompt_ids("Mira") == opening.prompt_ids("<s>Mira") == [0, *runner.tokenize("Mira")]
    assert opening.complete("Mira", 6) == plain.complete("<s>Mira", 6) != plain.complete("Mira", 6)


def test_the_head_of_a_prompt_is_computed_for_its_last_token_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    head = torch.nn.Linear.forward

    def counted(layer: Any, given: Any) -> Any:
        if layer.out_features == tiny.VOCABULARY:
            rows.append(given.shape[1])
        return head(layer, given)

    runner = open_runner(folder, 1)
    said = runner.generate([5, 6, 7, 8], 3).token_ids
    monkeypatch.setattr(torch.nn.Linear, "forward", counted)
    assert runner.generate([5, 6, 7, 8], 3).token_ids == said
    assert rows == [1, 1, 1]


def test_an_architecture_without_that_choice_gives_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, engine = serving.open_engine(folder, 1), serving.open_engine(folder, 1)
    forward = engine._model.forward

    def plain(input_ids: Any, past_key_values: Any, use_cache: bool) -> Any:
        return forward(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)

    monkeypatch.setattr(transformers.LlamaForCausalLM, "forward", lambda model, **given: plain(**given))
    monkeypatch.setattr(engine, "_keeps_logits", False)
    assert engine.block_tokens == engine.block_rows
    (row,) = engine.advance(engine.start(5), [5, 6, 7, 8], last_only=True)
    monkeypatch.undo()
    (other,) = usual.advance(usual.start(5), [5, 6, 7, 8], last_only=True)
    assert usual.block_tokens == serving.BLOCK_ROWS
    assert np.abs(row - other).max() < 0.1


def test_sequences_take_turns(folder: Path) -> None:
    engine = serving.open_engine(folder, 1)
    prompts = ([5, 6, 7, 8], [200, 9])
    alone = [list(greedy(engine, prompt, 8, lambda token: False)) for prompt in prompts]
    one, other = (greedy(engine, prompt, 8, lambda token: False) for prompt in prompts)
    assert list(zip(one, other, strict=True)) == list(zip(*alone, strict=True))


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("longrope"), tiny_longrope(256, 1024), dtype="bfloat16")


def divergence(rows: Any, wanted: Any) -> float:
    right, found = (torch.log_softmax(torch.from_numpy(np.array(one)), -1) for one in (wanted, rows))
    return float((right.exp() * (right - found)).sum(-1).mean())


def test_short_long_and_short_again_are_as_in_one_pass(two_sets: Path) -> None:
    engine = open_runner(two_sets, 1)
    model = transformers.AutoModelForCausalLM.from_pretrained(two_sets, dtype=torch.bfloat16).eval()
    ids = np.random.default_rng(0).integers(2, tiny.VOCABULARY, 400).tolist()
    with torch.inference_mode():
        short, long = (model(torch.tensor([ids[:length]])).logits[0].float().numpy() for length in (200, 400))
    assert divergence(all_logits(engine, ids[:200]), short) < 0.02
    assert divergence(all_logits(engine, ids), long) < 0.02
    assert divergence(all_logits(engine, ids[:200]), short) < 0.02
    # The two sets of factors are as far from each other as a test needs.
    assert divergence(long[:200], short) > 0.2


def test_a_sequence_that_grows_beyond_the_original_length_is_read_again(two_sets: Path) -> None:
    engine = serving.open_engine(two_sets, 1)
    ids = np.random.default_rng(0).integers(2, tiny.VOCABULARY, 260).tolist()
    state, other = engine.start(200), engine.start(50)
    engine.advance(state, ids[:200], last_only=True)
    for place in range(200, 260):
        engine.advance(other, ids[place : place + 1])
        (row,) = engine.advance(state, ids[place : place + 1])
    (expected,) = engine.advance(whole := engine.start(260), ids[:256], last_only=True)
    for place in range(256, 260):
        (expected,) = engine.advance(whole, ids[place : place + 1])
    assert divergence(row[None], expected[None]) < 0.02


def test_a_folder_that_transformers_refuses_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="transformers cannot load the artifact"):
        open_runner(tmp_path, 1)


def test_a_tokenizer_that_does_not_load_is_reported(tmp_path: Path) -> None:
    """The library tokenizers raises a bare Exception."""
    folder = tiny.write_checkpoint(tmp_path / "artifact")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"ByteLevel"', '"ByteLevelx"'))
    with pytest.raises(Corrupt, match="transformers cannot load the artifact: data did not match any variant"):
        open_runner(folder, 1)
