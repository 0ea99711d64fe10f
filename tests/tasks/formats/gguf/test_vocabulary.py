"""Tokenizers that llama.cpp never cuts as they cut are refused by their kind, and their neighbours are not."""

import json
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")

from tasks.errors import Unsupported
from tasks.formats.gguf.vocabulary import check_vocabulary, name_model, renumbered
from tests.fixtures import sentencepiece_bpe
from tests.fixtures.byte_bpe import train as train_byte_level

pytestmark = pytest.mark.runtime("torch")

UNIGRAM = r"tokenizer\.model: a Unigram tokenizer chooses the likeliest pieces"
NO_BYTES = r"tokenizer\.model: it has no token <0x00>, and llama\.cpp spells characters"


@pytest.mark.parametrize(
    ("kind", "bytes_too", "reason"), [("unigram", True, UNIGRAM), ("unigram", False, UNIGRAM), ("bpe", False, NO_BYTES)]
)
def test_a_sentencepiece_model_of_another_kind_is_refused(
    kind: str, bytes_too: bool, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train(kind=kind, byte_fallback=bytes_too))
    with pytest.raises(Unsupported, match=f"^{reason}.*; leave the gguf targets out of the recipe for this model.$"):
        check_vocabulary(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "Unigram", "vocab": [["<unk>", 0.0]]}, "a Unigram tokenizer"),
        ({"type": "WordPiece"}, "llama.cpp.s converter takes a WordPiece tokenizer"),
        ({"byte_fallback": False}, "it has no token <0x00>"),
        ({"vocab": {f"<0x{byte:02X}>": byte for byte in range(255)}}, "it has no token <0xFF>"),
    ],
)
def test_a_tokenizer_json_of_another_kind_is_refused(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    content = sentencepiece_bpe.as_json(sentencepiece_bpe.train())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "model": {**content["model"], **changes}}))
    with pytest.raises(Unsupported, match=rf"^tokenizer\.json: {reason}"):
        check_vocabulary(tmp_path)


def test_what_llama_cpp_cuts_is_let_through(tmp_path: Path) -> None:
    check_vocabulary(tmp_path)
    (tmp_path / "tokenizer.json").write_text(train_byte_level("qwen2", 300).to_str())
    check_vocabulary(tmp_path)
    model = sentencepiece_bpe.train()
    (tmp_path / "tokenizer.model").write_bytes(model)
    (tmp_path / "tokenizer.json").write_text(json.dumps(sentencepiece_bpe.as_json(model)))
    check_vocabulary(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    check_vocabulary(tmp_path)


def test_a_model_of_another_name_gets_the_name_that_the_converter_reads(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"pieces")
    name_model(tmp_path)
    assert (tmp_path / "tokenizer.model").read_bytes() == b"pieces"


def test_tokenizer_json_comes_before_a_model_of_another_name(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"pieces")
    (tmp_path / "tokenizer.json").write_text("{}")
    name_model(tmp_path)
    assert not (tmp_path / "tokenizer.model").exists()


def test_ids_that_are_not_the_places_in_the_model_are_told(tmp_path: Path) -> None:
    """As the classes of fairseq's models, which put a token of their own first."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train())
    content = sentencepiece_bpe.as_json(sentencepiece_bpe.train())
    assert renumbered(tmp_path, loaded(content)) is None
    moved = {"<pad>": 0, **{text: place + 1 for text, place in content["model"]["vocab"].items()}}
    content["model"]["vocab"] = moved
    content["added_tokens"] = []
    other = loaded(content)
    told, name = renumbered(tmp_path, other), type(other).__name__
    assert told is not None
    assert told.startswith(f"tokenizer.model: {name} gives the token '<unk>' the id 1, and llama.cpp's")
    (tmp_path / "tokenizer.model").unlink()
    assert renumbered(tmp_path, loaded(content)) is None


def loaded(content: dict[str, object]) -> object:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer.from_str(json.dumps(content)))
