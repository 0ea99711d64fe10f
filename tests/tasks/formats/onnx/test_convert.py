"""The whole conversion on a tiny model: logits of the graph against transformers, the cache, and planted faults."""

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from tests.tasks.evaluation.rows import all_logits, log_softmax

pytestmark = pytest.mark.runtime("torch")

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
tokenizers = pytest.importorskip("tokenizers")

from tasks.engines.onnxruntime.runner import open_runner
from tasks.engines.onnxruntime.serving import open_engine
from tasks.engines.text_model import TextModel
from tasks.errors import Corrupt, TerminalError, Unsupported
from tasks.formats.base import ConvertParameters
from tasks.formats.onnx import dynamic
from tasks.formats.onnx.checkpoint import load_fp32
from tasks.formats.onnx.convert import _write_tokenizer, convert
from tasks.formats.onnx.export import CachedModel, cache_shapes
from tasks.formats.onnx.export_check import check, expect
from tasks.formats.registry import parse_target
from tests.fixtures import sentencepiece_bpe
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.source import source_inputs
from tests.tasks.engines.frames import Frame

PROMPT = "Mira keeps nine</s> blue kites, 你好 🙂 def add("


def make(target: str, folder: Path, inputs: dict[str, Path], **options: Any) -> tuple[FolderContext, dict[str, Any]]:
    context = make_context(folder, inputs)
    parameters = ConvertParameters(target=parse_target(target, options))
    return context, dict(convert(parameters, context))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose weights are stored in bf16, as most are."""
    return tiny.write_checkpoint(tmp_path_factory.mktemp("snapshot"), dtype="bfloat16")


@pytest.fixture(scope="module")
def fp32(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderContext, dict[str, Any]]:
    return make(
        "onnx-fp32", tmp_path_factory.mktemp("fp32"), source_inputs(snapshot, tmp_path_factory.mktemp("source"))
    )


def logits_of(folder: Path, ids: list[int], **changes: Any) -> Any:
    """Return what transformers says in fp32, [tokens, vocabulary], after some changes of the configuration."""
    config = transformers.AutoConfig.from_pretrained(folder, **changes)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0]


def logprobs_of(folder: Path, ids: list[int]) -> Any:
    runner = open_runner(folder, 1)
    return log_softmax(all_logits(runner, ids))


def test_the_graph_says_what_transformers_says_in_fp32(
    fp32: tuple[FolderContext, dict[str, Any]], snapshot: Path
) -> None:
    context, facts = fp32
    ids = open_runner(context.output, 1).tokenize(PROMPT)
    expected = torch.log_softmax(logits_of(snapshot, ids), -1).numpy()
    np.testing.assert_allclose(logprobs_of(context.output, ids), expected, atol=1e-4)
    assert facts["largest_logit_difference"] < 1e-4
    assert facts["layers"] == 2
    assert set(context.versions) == {"onnx", "onnxruntime", "torch", "transformers"}


def test_a_graph_that_does_not_open_for_want_of_memory_is_not_called_wrong(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.inference_mode():
        expected = expect(CachedModel(load_fp32(snapshot).eval()).eval())
    for words, raised in (("std::bad_alloc", MemoryError), ("Invalid graph", Corrupt)):
        opening = Mock(side_effect=RuntimeError(words))
        monkeypatch.setattr("onnxruntime.InferenceSession", opening)
        with pytest.raises(raised, match=words):
            check(Path("model.onnx"), expected, 1)


def test_another_rotary_base_shows_in_the_logits_though_the_arg_max_agrees(
    fp32: tuple[FolderContext, dict[str, Any]], snapshot: Path
) -> None:
    context, _ = fp32
    config = tiny.tiny_llama(rope_parameters={"rope_type": "default", "rope_theta": 0.99e6}).to_dict()
    model = load_fp32(snapshot)
    flipped = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**config), dtype=torch.float32)
    flipped.load_state_dict(model.state_dict())
    right, wrong = (CachedModel(found.eval()).eval() for found in (model, flipped))
    with torch.inference_mode():
        expected, unexpected = expect(right), expect(wrong)
    real = expected.attention_mask.astype(bool)
    assert (expected.logits.argmax(-1) == unexpected.logits.argmax(-1))[real].mean() > 0.95
    assert check(context.output / "model.onnx", expected, 1) < 1e-4
    with pytest.raises(Corrupt, match="differs from the source model"):
        check(context.output / "model.onnx", unexpected, 1)


def test_predict_gives_the_runners_greedy_text(fp32: tuple[FolderContext, dict[str, Any]]) -> None:
    context, _ = fp32
    runner = open_runner(context.output, 1)
    said = runner.generate(runner.tokenize("Mira keeps"), 10, [1]).token_ids
    model = TextModel(open_engine(context.output, 1))
    found = model.predict(Frame({"prompt": ["Mira keeps"]}), {"max_tokens": 10})
    assert found["text"] == [runner.detokenize(said)]


def test_the_graph_computes_nothing_at_each_run_that_was_known_at_its_export(
    fp32: tuple[FolderContext, dict[str, Any]],
) -> None:
    graph = onnx.load(fp32[0].output / "model.onnx", load_external_data=False).graph
    made = {output for node in graph.node for output in node.output}
    stored = {value.name for value in graph.initializer}
    assert not [node.op_type for node in graph.node if node.op_type in ("Constant", "Identity")]
    # The exporter transposes each matrix of a product where it is used.
    constant = [node for node in graph.node if set(node.input) <= stored and node.op_type != "Transpose"]
    assert not [node.op_type for node in constant]
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert made <= used and stored <= used


def test_the_artifact_is_whole_and_holds_no_path_of_this_machine(fp32: tuple[FolderContext, dict[str, Any]]) -> None:
    output = fp32[0].output
    names = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert {"LICENSE", "MLmodel", "chat_template.jinja", "code/hallmark_onnx_engine.py", "config.json"} <= names
    assert {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx"} <= names
    raw = (output / "model.onnx").read_bytes()
    for place in (str(Path(torch.__file__).parent.parent), "site-packages", "modeling_llama", "stack_trace"):
        assert place.encode() not in raw


@pytest.mark.parametrize("target", ["onnx-int8", "onnx-int8-dynamic"])
def test_int8_is_made_of_files_with_hard_links_and_outside_of_none(
    snapshot: Path, fp32: tuple[FolderContext, dict[str, Any]], tmp_path: Path, target: str
) -> None:
    """The same export again, with external data, gives the same to the bit; and int8 is made from a cache's tree."""
    base, facts = make(
        "onnx-fp32", tmp_path / "base", source_inputs(snapshot, tmp_path / "source"), external_data="always"
    )
    assert facts["files"] == ["model.onnx", "model.onnx.data"]
    ids = list(range(40))
    assert (logprobs_of(base.output, ids) == logprobs_of(fp32[0].output, ids)).all()
    os.link(base.output / "model.onnx.data", tmp_path / "blob")

    int8, facts = make(target, tmp_path / "int8", {"onnx-fp32": base.output})
    assert facts["files"] == ["model.onnx"]
    # Seven matrices a layer and the output head; the embedding is looked up in int8, too.
    assert facts["quantized_matrices"] == 15
    assert (facts["block_products"], facts["integer_products"]) == ((15, 0) if target == "onnx-int8" else (0, 15))
    size = (int8.output / "model.onnx").stat().st_size
    assert size < 0.5 * sum((base.output / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    ours, theirs = logprobs_of(int8.output, ids), logprobs_of(base.output, ids)
    divergence = float((np.exp(theirs) * (theirs - ours)).sum(-1).mean())
    assert 0 < divergence < 0.2

    inline, _ = make(target, tmp_path / "inline", {"onnx-fp32": fp32[0].output})
    digests = [hashlib.sha256((o.output / "model.onnx").read_bytes()).hexdigest() for o in (inline, int8)]
    assert digests[0] == digests[1]
    (base.output / "model.onnx.data").rename(tmp_path / "outside")
    (base.output / "model.onnx.data").symlink_to(tmp_path / "outside")
    with pytest.raises(Corrupt, match="symbolic link"):
        make(target, tmp_path / "refused", {"onnx-fp32": base.output})


def test_weights_in_blocks_lose_less_than_dynamic_quantization(
    fp32: tuple[FolderContext, dict[str, Any]], tmp_path: Path
) -> None:
    ids = list(range(60))
    source = logprobs_of(fp32[0].output, ids)
    made = {
        name: make(name, tmp_path / name, {"onnx-fp32": fp32[0].output}) for name in ("onnx-int8", "onnx-int8-dynamic")
    }
    lost = {}
    for name, (context, _) in made.items():
        found = logprobs_of(context.output, ids)
        lost[name] = float((np.exp(source) * (source - found)).sum(-1).mean())
    assert 0 < lost["onnx-int8"] < 0.5 * lost["onnx-int8-dynamic"]
    assert "caveats" not in made["onnx-int8"][1]
    (caveat,) = made["onnx-int8-dynamic"][1]["caveats"]
    assert "choose onnx-int8" in caveat


def test_int8_reads_a_text_in_parts_as_at_once(fp32: tuple[FolderContext, dict[str, Any]], tmp_path: Path) -> None:
    """Dynamic quantization does not: there the scale of an activation depends on the tokens of the call."""
    int8, _ = make("onnx-int8", tmp_path, {"onnx-fp32": fp32[0].output})
    engine, ids = open_engine(int8.output, 2), list(range(40))
    whole = np.array(engine.advance(engine.start(40), ids))
    state = engine.start(40)
    parts = [np.array(engine.advance(state, ids[start:end])) for start, end in ((0, 25), (25, 38), (38, 39), (39, 40))]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_a_quantizer_that_leaves_a_matrix_in_floats_is_an_error(
    fp32: tuple[FolderContext, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.quantization.quantize_dynamic
    partial = functools.partial(real, nodes_to_exclude=["node_linear_2"])
    monkeypatch.setattr(dynamic, "quantize_dynamic", partial)
    with pytest.raises(TerminalError, match="stayed in floating point"):
        make("onnx-int8-dynamic", tmp_path, {"onnx-fp32": fp32[0].output})


def test_a_sliding_window_is_kept(tmp_path: Path) -> None:
    """The window is shorter than the proof's and this text; a graph without it would differ."""
    config = transformers.MistralConfig(**{**_settings(), "sliding_window": 6, "tie_word_embeddings": False})
    source = tiny.write_checkpoint(tmp_path / "snapshot", config)
    context, _ = make("onnx-fp32", tmp_path / "made", source_inputs(source, tmp_path / "source"))
    ids = list(range(30))
    found = logprobs_of(context.output, ids)
    with_window = torch.log_softmax(logits_of(source, ids), -1).numpy()
    without = torch.log_softmax(logits_of(source, ids, sliding_window=None), -1).numpy()
    np.testing.assert_allclose(found, with_window, atol=1e-4)
    assert np.abs(found - without).max() > 1e-2


def test_a_model_without_keys_and_values_is_unsupported() -> None:
    config = transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=4)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with pytest.raises(Unsupported, match="more state than keys and values"):
        cache_shapes(model)


def test_weights_that_lack_a_parameter_are_not_made_up(tmp_path: Path) -> None:
    source = tiny.write_checkpoint(tmp_path, tiny.tiny_llama(num_hidden_layers=1))
    tiny.tiny_llama(num_hidden_layers=2).save_pretrained(source)
    with pytest.raises(Corrupt, match="lack '"):
        load_fp32(source)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "depend on the text's length",
        ),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"model_type": "unheard-of"}, "cannot read it"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(
    snapshot: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    config = {**tiny.tiny_llama().to_dict(), **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match=reason):
        load_fp32(tmp_path)


def test_a_tokenizer_of_older_files_is_made_into_the_engines_file(snapshot: Path, tmp_path: Path) -> None:
    model = json.loads((snapshot / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(" ".join(pair) for pair in model["merges"]))
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    _write_tokenizer(tmp_path)
    ours, theirs = (tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tmp_path, snapshot))
    assert ours.encode(PROMPT).ids == theirs.encode(PROMPT).ids


def test_the_ids_of_a_class_that_numbers_the_pieces_itself_are_kept(snapshot: Path, tmp_path: Path) -> None:
    """As fairseq's models; the engine reads tokenizer.json, and the source has a SentencePiece model alone."""
    source = copytree(snapshot, tmp_path / "snapshot")
    sentencepiece_bpe.write_renumbered(source)
    view = source_inputs(source, tmp_path / "analysis")["analysis"] / "view"
    made = copytree(view, tmp_path / "made")
    _write_tokenizer(made)
    engine = tokenizers.Tokenizer.from_file(str(made / "tokenizer.json"))
    truth = transformers.AutoTokenizer.from_pretrained(view)
    for text in ("the cat sat", "  two  spaces", "moon\n", "<s>"):
        assert engine.encode(text, add_special_tokens=False).ids == truth.encode(text, add_special_tokens=False)


def test_a_snapshot_without_any_tokenizer_is_unsupported(tmp_path: Path) -> None:
    tiny.tiny_llama().save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match=r"no tokenizer\.json"):
        _write_tokenizer(tmp_path)


def _settings() -> dict[str, Any]:
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    more = ("num_key_value_heads", "max_position_embeddings", "initializer_range", "bos_token_id", "eos_token_id")
    return {name: getattr(tiny.tiny_llama(), name) for name in (*kept, *more)}
