"""A file that llama.cpp's converter writes and llama.cpp cannot load is refused where it was made."""

import json
from pathlib import Path

import pytest

from tasks.errors import ToolFailed
from tasks.formats.gguf.f16 import make_f16
from tests.fixtures.context import make_context
from tests.fixtures.tiny_checkpoint import VOCABULARY, write_checkpoint

pytestmark = pytest.mark.runtime("torch")

WORDS = "llama_model_load: error loading model: error loading model vocabulary: cannot find tokenizer merges"


def write_unigram(folder: Path) -> None:
    """Replace the tokenizer with one of whole words and bytes, as Japanese models have them, without merges."""
    words = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], *([f"<0x{byte:02X}>", -20.0] for byte in range(256))]
    words += [[f"\u2581{number}", -10.0] for number in range(VOCABULARY - len(words))]
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": words, "byte_fallback": True},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    named = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(named))


def test_a_vocabulary_that_llama_cpp_rejects_is_refused_with_its_words(tmp_path: Path) -> None:
    write_unigram(write_checkpoint(tmp_path / "snapshot"))
    context = make_context(tmp_path, {"snapshot": tmp_path / "snapshot"})
    with pytest.raises(ToolFailed, match=rf"^{WORDS}.*, at work on model-F16\.gguf, failed.* leave the gguf"):
        make_f16(context)
