"""Conversion end to end: from a checkpoint to F16, importance matrix and quantized files, by llama.cpp's own tools."""

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file
from transformers import MixtralConfig

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt, Unsupported
from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.gguf.ends import END_IDS
from tasks.formats.gguf.header import read_header
from tasks.formats.registry import parse_target
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import LICENCE, SIZES, tiny_llama, write_checkpoint

pytestmark = pytest.mark.runtime("torch")

Made = tuple[Path, dict[str, Any]]
"""An artifact's folder and facts."""

SOURCE = {"snapshot": {"repository": "acme/Tiny-Llama"}}


def make(folder: Path, hidden: int = 256, intermediate: int = 512, **options: Any) -> Path:
    """Write a bf16 Llama; rows of 256 weights are what k-quants take."""
    config = tiny_llama(
        hidden_size=hidden, intermediate_size=intermediate, max_position_embeddings=256, initializer_range=0.05
    )
    return write_checkpoint(folder, config, dtype="bfloat16", opens=True, **options)


def run(name: str, context: TaskContext, **options: Any) -> dict[str, Any]:
    return dict(convert(ConvertParameters(target=parse_target(name, options)), context))


def context_of(root: Path, facts: Mapping[str, Mapping[str, Any]] | None = None, **folders: Path) -> FolderContext:
    return make_context(root, {**folders, **source_inputs(folders["snapshot"], root / "source")}, facts)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def snapshot(root: Path) -> Path:
    return make(root / "snapshot", pre_tokenizer="qwen2")


@pytest.fixture(scope="module")
def f16(root: Path, snapshot: Path) -> Made:
    context = context_of(root / "f16", SOURCE, snapshot=snapshot)
    return context.output, run("gguf-f16", context)


@pytest.fixture(scope="module")
def imatrix(root: Path, f16: Made) -> Made:
    (root / "calibration").mkdir()
    lines = [json.dumps({"id": str(n), "kind": "story", "text": f"The {n}th ship sails <s> " * 20}) for n in range(40)]
    (root / "calibration" / "text.jsonl").write_text("\n".join(lines))
    folders = {"gguf-f16": f16[0], "calibration": root / "calibration"}
    context = make_context(root / "imatrix", folders)
    return context.output, run("gguf-imatrix", context)


@pytest.fixture(autouse=True)
def quick_converter(f16: Made) -> Iterator[None]:
    """Run the converter in children of this process, but for the fixture `f16`, which is made as the product does."""
    with shortcuts():
        yield


def test_f16_carries_all_that_serving_needs(f16: Made) -> None:
    folder, facts = f16
    assert facts["pre_tokenizer"] == {"name": "qwen2", "how": "exact pattern"}
    assert facts["tensor_types"] == {"f16": 15, "f32": 5}
    assert (facts["architecture"], facts["context_length"], facts["chat_template"]) == ("llama", 256, True)
    assert (facts["bos"], facts["eos"], facts["add_bos"]) == (0, 1, True)
    assert (folder / "LICENSE").read_text() == LICENCE
    assert (folder / "Tiny-Llama-F16.gguf").stat().st_size == facts["size_bytes"]
    assert {path.name for path in folder.iterdir()} >= {"MLmodel", "requirements.txt", "code"}
    assert (folder / "code" / "hallmark_gguf_serving.py").is_file()


def test_a_file_begins_and_ends_texts_as_the_tokenizer_and_the_configurations_say(root: Path) -> None:
    snapshot = make(root / "ends", pre_tokenizer="qwen2")
    named = json.loads((snapshot / "generation_config.json").read_text())
    (snapshot / "generation_config.json").write_text(json.dumps({**named, "eos_token_id": [1, 300, 301, 302]}))
    # The tokenizer's own steps decide, and not what this file claims.
    settings = json.loads((snapshot / "tokenizer_config.json").read_text())
    claims = {**settings, "add_bos_token": False, "add_eos_token": True}
    (snapshot / "tokenizer_config.json").write_text(json.dumps(claims))
    context = context_of(root / "ends-f16", SOURCE, snapshot=snapshot)
    facts = run("gguf-f16", context)
    metadata = read_header(context.output / "Tiny-Llama-F16.gguf").metadata
    named = {kind: metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")}
    assert named == {"eos": 1, "eot": 300, "eom": 301}
    assert metadata[END_IDS] == "1,300,301,302"
    assert facts["add_bos"] is True
    assert metadata["tokenizer.ggml.add_eos_token"] is False


def test_a_file_without_a_first_token_of_its_own_has_none_in_chats(root: Path) -> None:
    snapshot = make(root / "nameless", pre_tokenizer="qwen2")
    settings = json.loads((snapshot / "tokenizer_config.json").read_text())
    del settings["bos_token"]
    (snapshot / "tokenizer_config.json").write_text(json.dumps(settings))
    context = context_of(root / "nameless-f16", SOURCE, snapshot=snapshot)
    facts = run("gguf-f16", context)
    template = read_header(context.output / "Tiny-Llama-F16.gguf").metadata["tokenizer.chat_template"]
    assert template == '{% set bos_token = "" %}\n' + (snapshot / "chat_template.jinja").read_text()
    assert facts["bos"] == 0


def test_tensors_that_no_model_needs_are_left_out(root: Path) -> None:
    source = make(root / "surplus")
    path = source / "model.safetensors"
    surplus = {
        "v_head.summary.weight": torch.ones(1, 256),
        "model.layers.0.self_attn.rotary_emb.cos_cached": torch.ones(1, 1, 8, 16),
    }
    save_file({**load_file(path), **surplus}, path, metadata={"format": "pt"})
    context = context_of(root / "surplus-f16", SOURCE, snapshot=source)
    run("gguf-f16", context)
    (file,) = context.output.glob("*.gguf")
    assert not [
        tensor.name for tensor in read_header(file).tensors if "v_head" in tensor.name or "cached" in tensor.name
    ]


def test_the_model_card_is_no_part_of_the_model(f16: Made, root: Path) -> None:
    metadata = read_header(f16[0] / "Tiny-Llama-F16.gguf").metadata
    assert metadata["general.name"] == "Tiny-Llama"
    assert not [key for key in metadata if "license" in key]
    assert not [value for value in metadata.values() if isinstance(value, str) and str(root) in value]


def test_the_importance_matrix_covers_every_matrix(imatrix: Made) -> None:
    folder, facts = imatrix
    assert (facts["matrices"], facts["records"], facts["unreached_experts"]) == (14, 40, 0)
    assert facts["chunks"] > 2
    assert [path.name for path in folder.iterdir()] == ["Tiny-Llama-imatrix.gguf"]


def test_quantized_with_the_importance_matrix(root: Path, f16: Made, imatrix: Made) -> None:
    folders = {"gguf-f16": f16[0], "gguf-imatrix": imatrix[0]}
    context = make_context(root / "q4_k_m", folders, {"gguf-f16": f16[1]})
    facts = run("gguf-q4_k_m", context)
    assert facts["tensor_types"] == {"f32": 5, "q4_k": 12, "q6_k": 3}
    assert facts["fallbacks"]["count"] == 0
    assert facts["imatrix"] is True
    assert facts["pre_tokenizer"] == f16[1]["pre_tokenizer"]
    metadata = read_header(context.output / "Tiny-Llama-Q4_K_M.gguf").metadata
    assert metadata["quantize.imatrix.file"] == "imatrix.gguf"
    assert (context.output / "LICENSE").read_text() == LICENCE
    assert context.versions["llama.cpp"].startswith("0.3.36")


def test_the_importance_matrix_changes_the_bytes(root: Path, f16: Made, imatrix: Made) -> None:
    data = []
    for number, options in enumerate(({}, {"imatrix": False})):
        folders = {"gguf-f16": f16[0], "gguf-imatrix": imatrix[0]}
        context = make_context(root / f"q2_k-{number}", folders, {"gguf-f16": f16[1]})
        run("gguf-q2_k", context, **options)
        header = read_header(context.output / "Tiny-Llama-Q2_K.gguf")
        tensor = next(tensor for tensor in header.tensors if tensor.name == "blk.0.ffn_up.weight")
        data.append(header.path.read_bytes()[tensor.start : tensor.start + tensor.bytes])
    assert data[0] != data[1]


def test_odd_rows_fall_back_and_are_reported(root: Path) -> None:
    make(root / "odd", hidden=192, intermediate=256)
    base = context_of(root / "odd-f16", SOURCE, snapshot=root / "odd")
    run("gguf-f16", base)
    facts = run("gguf-q4_k_m", make_context(root / "odd-q4", {"gguf-f16": base.output}), imatrix=False)
    assert facts["fallbacks"]["types"] == {"q5_0": 11, "q8_0": 2}
    assert facts["fallbacks"]["of"] == 15


def test_an_unknown_pre_tokenizer_is_refused_with_its_pattern(root: Path) -> None:
    make(root / "unknown", pre_tokenizer="unknown")
    context = context_of(root / "unknown-f16", SOURCE, snapshot=root / "unknown")
    with pytest.raises(Unsupported, match=r"\[\^e\]\+\|e"):
        run("gguf-f16", context)
    assert not list(context.output.iterdir())


def test_a_class_that_numbers_the_pieces_itself_is_refused_before_any_tensor_is_read(root: Path) -> None:
    """As fairseq's models: a Unigram model under another name, and ids that are not its places."""
    source = make(root / "fairseq")
    sentencepiece_bpe.write_renumbered(source)
    context = context_of(root / "fairseq-f16", SOURCE, snapshot=source)
    with pytest.raises(Unsupported, match=r"^sentencepiece\.bpe\.model: a Unigram tokenizer chooses"):
        run("gguf-f16", context)
    assert not list(context.output.iterdir())


def test_numbers_beyond_float16_are_reported_by_tensor(root: Path) -> None:
    make(root / "large", factors={"model.layers.1.mlp.down_proj.weight": 1e7})
    with pytest.raises(Unsupported, match=r"'blk\.1\.ffn_down\.weight'"):
        run("gguf-f16", context_of(root / "large-f16", SOURCE, snapshot=root / "large"))


def test_an_unknown_architecture_is_refused_at_once(root: Path, tmp_path: Path) -> None:
    for name in ("snapshot", "analysis/view"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "analysis" / "view" / "config.json").write_text('{"architectures": ["NewForCausalLM"]}')
    inputs = {name: tmp_path / name for name in ("snapshot", "analysis")}
    with pytest.raises(Unsupported, match="NewForCausalLM"):
        run("gguf-f16", make_context(tmp_path / "task", inputs, SOURCE))


def test_a_missing_configuration_is_reported(tmp_path: Path) -> None:
    (tmp_path / "snapshot").mkdir()
    with pytest.raises(Corrupt, match=r"config\.json"):
        run("gguf-f16", context_of(tmp_path / "task", SOURCE, snapshot=tmp_path / "snapshot"))


def test_a_calibration_text_that_is_too_short_is_reported(root: Path, f16: Made, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text('{"text": "short"}\n')
    with pytest.raises(Unsupported, match="fewer than 512 tokens"):
        run("gguf-imatrix", make_context(tmp_path / "task", {"gguf-f16": f16[0], "calibration": tmp_path}))


def test_a_matched_pattern_comes_before_a_known_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """SmolLM2's tokenizer has the hash of `smollm` also without the step that cuts digits apart."""
    tree = llama_cpp().tree
    monkeypatch.syspath_prepend(tree / "gguf-py")
    monkeypatch.syspath_prepend(tree)
    chooser = import_module("tasks.formats.gguf.hf_to_gguf").PreTokenizer("gpt-2")
    chooser.by_hash = lambda model, tokenizer: "smollm"
    assert chooser.decide(None, None) == "gpt-2"
    assert chooser.decided == {"name": "gpt-2", "how": "exact pattern"}
    chooser.candidate = None
    assert chooser.decide(None, None) == "smollm"
    assert chooser.decided == {"name": "smollm", "how": "known hash"}


def test_experts_that_the_calibration_text_never_reached_are_told(root: Path, tmp_path: Path) -> None:
    """A real mixture of 32 experts, and a text of one token: most experts are never chosen."""
    config = MixtralConfig(
        **{**SIZES, "max_position_embeddings": 64},
        num_local_experts=32,
        num_experts_per_tok=1,
        tie_word_embeddings=True,
    )
    write_checkpoint(tmp_path / "snapshot", config, dtype="bfloat16", opens=True)
    base = context_of(tmp_path / "f16", SOURCE, snapshot=tmp_path / "snapshot")
    run("gguf-f16", base)
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "text.jsonl").write_text(json.dumps({"text": "a" * 600}))
    sums = make_context(tmp_path / "sums", {"gguf-f16": base.output, "calibration": tmp_path / "calibration"})
    facts = run("gguf-imatrix", sums)
    assert 0 < facts["unreached_experts"] < 2 * 3 * 32
    quantized = make_context(
        tmp_path / "q4_0", {"gguf-f16": base.output, "gguf-imatrix": sums.output}, {"gguf-imatrix": facts}
    )
    (said,) = run("gguf-q4_0", quantized)["caveats"]
    assert said.startswith(f"The calibration text never reached {facts['unreached_experts']} of the experts' matrices")
