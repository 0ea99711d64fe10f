"""A model whose attention window llama.cpp does not have gets a context that ends at the window, and says why."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

transformers = pytest.importorskip("transformers")

from tasks.contract import TaskContext
from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.gguf.normalization import NFC
from tasks.formats.registry import parse_target
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import SIZES, write_checkpoint

WINDOW, CONTEXT = 100, 512
SOURCE = {"snapshot": {"repository": "acme/Tiny"}}


@pytest.fixture(autouse=True)
def quick_converter() -> Iterator[None]:
    """Run the converter in children of this process, whose import of torch takes longer than a conversion."""
    with shortcuts():
        yield


def run(name: str, context: TaskContext) -> dict[str, Any]:
    return dict(convert(ConvertParameters(target=parse_target(name)), context))


def make_f16(folder: Path, kind: str, **settings: Any) -> tuple[FolderContext, dict[str, Any]]:
    sizes = {**SIZES, "max_position_embeddings": CONTEXT, "vocab_size": 448}
    config = getattr(transformers, kind)(**{**sizes, **settings})
    snapshot = write_checkpoint(folder / "snapshot", config, dtype="bfloat16", pre_tokenizer="qwen2", opens=True)
    if kind == "Phi3Config":
        sentencepiece_bpe.write(snapshot)
    folders = {"snapshot": snapshot, **source_inputs(snapshot, folder / "source")}
    context = make_context(folder / "f16", folders, SOURCE)
    return context, run("gguf-f16", context)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("MistralConfig", {}),
        ("Starcoder2Config", {}),
        # llama.cpp reads the window of this architecture and then leaves it out.
        ("Phi3Config", {"pad_token_id": 1, "vocab_size": 320}),
        ("Qwen2Config", {"use_sliding_window": True, "max_window_layers": 1}),
    ],
)
def test_the_context_ends_at_the_window(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    base, facts = make_f16(tmp_path, kind, sliding_window=WINDOW, **settings)
    assert (facts["context_length"], facts["context_limit"]) == (WINDOW, WINDOW)
    (caveat,) = facts["verdict_caveats"]
    assert "without its attention window of 100 tokens" in caveat["text"] and "source's at 512" in caveat["text"]
    quantized = make_context(tmp_path / "q8", {"gguf-f16": base.output}, {"gguf-f16": facts})
    made = run("gguf-q8_0", quantized)
    assert (made["context_length"], made["context_limit"], made["verdict_caveats"]) == (WINDOW, WINDOW, [caveat])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        # llama.cpp has the window of this architecture.
        ("Gemma3TextConfig", {"head_dim": 64, "pad_token_id": 1, "query_pre_attn_scalar": 64, "vocab_size": 384}),
        # No layer uses the window.
        ("Qwen2Config", {"use_sliding_window": True, "max_window_layers": 2}),
        ("Qwen2Config", {"use_sliding_window": False}),
        ("MistralConfig", {"sliding_window": CONTEXT}),
        # The field is left over from another model.
        ("LlamaConfig", {}),
    ],
)
def test_every_other_context_stays(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    _, facts = make_f16(tmp_path, kind, **{"sliding_window": WINDOW, **settings})
    assert facts["context_length"] == CONTEXT
    assert not {"context_limit", "verdict_caveats"} & facts.keys()


def test_a_normalization_that_llama_cpp_leaves_out_is_a_caveat_of_all_that_is_made(tmp_path: Path) -> None:
    snapshot = write_checkpoint(tmp_path / "snapshot", dtype="bfloat16", pre_tokenizer="qwen2", opens=True)
    tokenizer = json.loads((snapshot / "tokenizer.json").read_text())
    (snapshot / "tokenizer.json").write_text(json.dumps({**tokenizer, "normalizer": {"type": "NFC"}}))
    folders = {"snapshot": snapshot, **source_inputs(snapshot, tmp_path / "source")}
    base = make_context(tmp_path / "f16", folders, SOURCE)
    facts = run("gguf-f16", base)
    nfc = NFC.model_dump()
    assert nfc["explains"] == "tokenizer_parity"
    assert facts["verdict_caveats"] == [nfc] and "caveat" not in facts["pre_tokenizer"]
    quantized = make_context(tmp_path / "q8", {"gguf-f16": base.output}, {"gguf-f16": facts})
    assert run("gguf-q8_0", quantized)["verdict_caveats"] == [nfc]
