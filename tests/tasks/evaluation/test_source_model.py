"""The source's greedy text, by the loop that serves artifacts."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


from tasks.engines.text_model import LanguageModel, logits
from tasks.errors import InvalidRecipe, Unsupported
from tasks.evaluation.parameters import EvaluationSettings
from tasks.evaluation.reference_windows import TextRecord
from tasks.evaluation.source_continuations import generate_all
from tasks.evaluation.source_model import BATCH_TOKENS, SourceModel
from tasks.plan.reference import TOKENS_AT_ONCE
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.longrope import tiny_longrope

PROMPT = [5, 17, 9, 30, 8, 200, 41]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceModel:
    config = tiny.tiny_llama(max_position_embeddings=256)
    return SourceModel(tiny.write_checkpoint(tmp_path_factory.mktemp("checkpoint"), config, opens=True), 1)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> SourceModel:
    config = transformers.MambaConfig(
        vocab_size=tiny.VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.5
    )
    return SourceModel(tiny.write_checkpoint(tmp_path_factory.mktemp("mamba"), config), 1)


def test_the_plan_counts_the_tokens_that_are_read_at_once() -> None:
    assert TOKENS_AT_ONCE == BATCH_TOKENS


MPT = {"d_model": 32, "n_heads": 2, "n_layers": 1, "max_seq_len": 96}
BLOOM = {"hidden_size": 32, "n_head": 2, "n_layer": 1}
GPT2 = {"n_embd": 32, "n_head": 2, "n_layer": 1, "n_positions": 96}


@pytest.mark.parametrize(
    ("family", "fields", "length"),
    [
        ("Mpt", MPT, 96),
        ("Bloom", {**BLOOM, "seq_length": 96}, 96),
        ("Bloom", BLOOM, sys.maxsize),
        ("GPT2", GPT2, 96),
    ],
    ids=["max_seq_len", "seq_length", "no length", "n_positions"],
)
def test_the_context_is_read_under_the_names_of_all_families(
    family: str, fields: dict[str, Any], length: int, tmp_path: Path
) -> None:
    config = getattr(transformers, f"{family}Config")(vocab_size=tiny.VOCABULARY, **fields)
    assert SourceModel(tiny.write_checkpoint(tmp_path, config), 1).context_length == length


def by_the_full_forward(source: SourceModel, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(source.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_a_configuration_that_fails_when_the_model_runs_is_reported(tmp_path: Path) -> None:
    folder = tiny.write_checkpoint(tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    # Layers with a sliding window, of a length that is not named.
    config["layer_types"] = ["sliding_attention", "full_attention"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match=r"^config.json: transformers cannot run the model .*'sliding_window'"):
        SourceModel(folder, 1)


@pytest.mark.parametrize("name", ["source", "recurrent"])
@pytest.mark.parametrize("block", [2048, 3])
def test_step_by_step_is_the_full_forward(
    name: str, block: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: SourceModel = request.getfixturevalue(name)
    monkeypatch.setattr(SourceModel, "block_tokens", block)
    monkeypatch.setattr(SourceModel, "block_rows", block)
    whole = by_the_full_forward(model, PROMPT, 12)
    assert model.generate(PROMPT, 12, ()) == whole
    assert model.generate(PROMPT, 12, [whole[5]]) == whole[: whole.index(whole[5])]
    protocol: LanguageModel = model
    rows = torch.cat([torch.from_numpy(rows.copy()) for rows in logits(protocol, PROMPT)])
    assert torch.allclose(rows, model.logits(torch.tensor([PROMPT]))[0], atol=1e-4)


@pytest.mark.parametrize("block", [2048, 7])
def test_rotary_factors_are_those_of_the_whole_sequence(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SourceModel(tiny.write_checkpoint(tmp_path, tiny_longrope(16, 128)), 1)
    monkeypatch.setattr(SourceModel, "block_tokens", block)
    monkeypatch.setattr(SourceModel, "block_rows", block)
    ids = [*PROMPT, *PROMPT, *PROMPT]
    for length in (10, 21, 10):
        rows = torch.cat([torch.from_numpy(rows.copy()) for rows in logits(model, ids[:length])])
        assert torch.allclose(rows, model.logits(torch.tensor([ids[:length]]))[0], atol=1e-4)
    # It begins with the factors of short sequences, and grows beyond their length.
    assert model.generate(ids[:10], 12, ()) == by_the_full_forward(model, ids[:10], 12)


def test_a_prompt_is_read_once(source: SourceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = source.model.forward

    def counted(input_ids: Any, **options: Any) -> Any:
        read.append(input_ids.shape[1])
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(source.model, "forward", counted)
    source.generate(PROMPT, 4, ())
    assert read == [7, 1, 1, 1]


def settings(tokens: int) -> EvaluationSettings:
    return EvaluationSettings(generations=1, generated_tokens=tokens)


def test_a_long_prompt_keeps_its_end(source: SourceModel) -> None:
    (said,) = generate_all(source, [TextRecord("a", "the cat " * 300, "", "")], [0], settings(230), 1).continuations
    assert len(said.prompt_ids) <= 26 and said.prompt_ids[0] == 0
    assert len(said.token_ids) == 230 or said.stopped


@pytest.mark.parametrize(
    ("tokens", "text", "told"),
    [
        (256, "the cat", r"context holds 256 tokens, and the continuation of 'text a' has 256; lower 'evaluation\.gen"),
        (8, "", r"'text a' of the evaluation text has no tokens"),
    ],
)
def test_a_prompt_that_cannot_be_continued_is_reported(source: SourceModel, tokens: int, text: str, told: str) -> None:
    with pytest.raises(InvalidRecipe, match=told):
        generate_all(source, [TextRecord("a", text, "", "")], [], settings(tokens), 1)
