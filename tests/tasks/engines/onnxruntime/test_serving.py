"""The engine against numpy: blocks, cache, greedy text, stops, chat; all without torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.runtime("onnxruntime")

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from jinja2 import TemplateError
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tasks.engines.onnxruntime import serving
from tasks.engines.onnxruntime.runner import open_runner
from tasks.engines.runner import Runner
from tasks.engines.text_model import TextModel
from tasks.errors import Corrupt
from tests.tasks.engines.frames import Frame
from tests.tasks.formats.onnx import toy

IDS = [5, 250, 17, 99, 5, 31, 200, 8, 8, 140, 77]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_toy(tmp_path_factory.mktemp("toy"), external=True)


@pytest.fixture
def runner(folder: Path) -> Iterator[Runner]:
    opened = open_runner(folder, 1)
    yield opened
    opened.close()


def test_logits_are_those_of_the_whole_sequence(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BLOCK_ROWS", 3)
    blocks = list(runner.logits(IDS))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    np.testing.assert_allclose(np.concatenate(blocks), toy.expected_logits(IDS), atol=2e-5)


def test_a_block_is_bounded_by_its_bytes(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BLOCK_BYTES", 4 * toy.VOCABULARY * 2)
    assert [len(block) for block in runner.logits(IDS[:5])] == [2, 2, 1]


def test_greedy_step_by_step_is_greedy_by_the_full_forward(runner: Runner) -> None:
    ids = list(IDS)
    for _ in range(8):
        ids.append(int(toy.expected_logits(ids)[-1].argmax()))
    generation = runner.generate(IDS, 8)
    assert generation.token_ids == ids[len(IDS) :]
    assert len(generation.seconds) == 8
    assert generation.seconds == sorted(generation.seconds)


def test_a_stop_id_ends_it_and_is_not_returned(runner: Runner) -> None:
    whole = runner.generate(IDS, 8).token_ids
    stop = whole[3]
    assert runner.generate(IDS, 8, [stop]).token_ids == whole[: whole.index(stop)]


def test_it_ends_where_the_context_is_full(runner: Runner) -> None:
    assert len(runner.generate([1] * (toy.CONTEXT - 2), 50).token_ids) == 2
    with pytest.raises(ValueError, match="65 tokens, the model takes 64"):
        runner.generate([1] * (toy.CONTEXT + 1), 1)
    with pytest.raises(ValueError, match="no tokens"):
        runner.generate([], 1)


def test_special_tokens_are_parsed_none_added_and_left_out(runner: Runner) -> None:
    ids = runner.tokenize("é <s>x")
    assert 256 in ids
    assert len(ids) == 5
    assert runner.detokenize(ids) == "é x"


def test_end_tokens_are_gathered_from_every_configuration(folder: Path) -> None:
    engine = serving.OnnxEngine(folder, 1)
    assert [token for token in range(engine.vocabulary_size) if engine.ends(token)] == [257, 258]


def test_the_end_that_only_special_tokens_map_names_ends_a_text(tmp_path: Path) -> None:
    copy = toy.write_toy(tmp_path / "ends")
    path = copy / "tokenizer_config.json"
    config = json.loads(path.read_text())
    end = config.pop("eos_token")
    path.write_text(json.dumps(config))
    for name in ("config.json", "generation_config.json"):
        content = json.loads((copy / name).read_text()) if (copy / name).exists() else {}
        (copy / name).write_text(json.dumps({**content, "eos_token_id": -1}))
    assert open_runner(copy, 1).end_ids == frozenset()
    (copy / "special_tokens_map.json").write_text(json.dumps({"eos_token": end}))
    assert open_runner(copy, 1).end_ids == {257}


def test_predict_is_the_runners_greedy_text(folder: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TextModel(serving.open_engine(folder, 1))
    prompts = ["Mira", "двадцать"]
    expected = [runner.detokenize(runner.generate(runner.tokenize(p), 6, [257, 258]).token_ids) for p in prompts]
    found = model.predict(Frame({"prompt": prompts}, index=[7, 3]), {"max_tokens": 6})
    assert found == {"text": expected}
    assert found.index == [7, 3]
    cut = model.predict(Frame({"prompt": prompts[:1]}), {"max_tokens": 6, "stop": ["\0", expected[0][2:4], ""]})
    assert cut["text"] == [expected[0][:2]]


def test_a_prompt_is_opened_as_the_tokenizer_opens_texts(folder: Path, runner: Runner, tmp_path: Path) -> None:
    plain = TextModel(serving.open_engine(folder, 1))
    assert plain.prompt_ids("Mira") == runner.tokenize("Mira")
    copy = toy.write_toy(tmp_path / "opening")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)])
    tokenizer.save(str(copy / "tokenizer.json"))
    opening = TextModel(serving.open_engine(copy, 1))
    opened = [256, *runner.tokenize("Mira")]
    assert opening.prompt_ids("Mira") == opening.prompt_ids("<s>Mira") == opened
    assert opening.complete("Mira", 6) == runner.detokenize(runner.generate(opened, 6, [257, 258]).token_ids)
    assert opening.complete("Mira", 6) != plain.complete("Mira", 6)


def test_the_number_of_threads_is_honoured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def watched(path: str, options: Any, **rest: Any) -> Any:
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads, options.use_deterministic_compute))
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    open_runner(folder, 2).close()
    assert seen == [(2, 1, True)]


def test_a_chat_is_rendered_as_transformers_would(folder: Path, tmp_path: Path) -> None:
    copy = toy.write_toy(tmp_path / "chat")
    template = (
        "{{ bos_token }}{% for m in messages %}\n    {% if m.role == 'stop' %}{% break %}{% endif %}\n"
        "{{ m.content | tojson }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}"
        "{% generation %}>{% endgeneration %}{% endif %}"
    )
    (copy / "chat_template.jinja").write_text(template)
    messages = [{"role": "user", "content": "<ü>"}, {"role": "stop", "content": ""}]
    runner = open_runner(copy, 1)
    assert runner.render_chat(messages, True) == '<s>"<ü>"</s>>'
    assert open_runner(folder, 1).render_chat(messages, True) is None


@pytest.mark.parametrize(
    "template", ["{{ messages.__class__.__mro__ }}", "{{ raise_exception('no roles') }}", "{{ messages.append(1) }}"]
)
def test_a_template_cannot_leave_its_sandbox(template: str) -> None:
    with pytest.raises(TemplateError):
        serving.ChatTemplate(template, {}).render([], False)


def test_the_default_of_several_templates_is_taken(tmp_path: Path) -> None:
    copy = toy.write_toy(tmp_path)
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]
    (copy / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert open_runner(copy, 1).render_chat([], False) == "yes"


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    copy = toy.write_toy(tmp_path / "artifact", external=True)
    model = onnx.load(str(copy / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data[:1]:
            entry.value = "../model.onnx.data"
    (copy / "model.onnx").write_bytes(model.SerializeToString())
    (copy / "model.onnx.data").rename(tmp_path / "model.onnx.data")
    with pytest.raises(Corrupt, match="onnxruntime cannot load the artifact"):
        open_runner(copy, 1)
