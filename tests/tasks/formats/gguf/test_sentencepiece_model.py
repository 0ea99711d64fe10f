"""A tokenizer.json of the SentencePiece kind, spelled as the model from which llama.cpp's converter takes scores."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

sentencepiece = pytest.importorskip("sentencepiece")

from tasks.errors import Unsupported
from tasks.formats.gguf.sentencepiece_model import add_sentencepiece_model
from tests.fixtures import sentencepiece_bpe


def write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    add_sentencepiece_model(folder)
    return folder / "tokenizer.model"


def test_it_cuts_as_the_model_from_which_the_file_came(tmp_path: Path) -> None:
    trained = sentencepiece_bpe.train()
    made = sentencepiece.SentencePieceProcessor(model_file=str(write(tmp_path, sentencepiece_bpe.as_json(trained))))
    own = sentencepiece.SentencePieceProcessor(model_proto=trained)
    for text in ("the cat sat", " leading", "runs   of  spaces", "Zażółć 🚀", ""):
        assert made.encode(text) == own.encode(text)
    assert [made.id_to_piece(number) for number in (0, 1, 3)] == [own.id_to_piece(number) for number in (0, 1, 3)]
    assert (made.is_unknown(0), made.is_control(1), made.is_byte(3)) == (True, True, True)


def test_a_byte_that_stands_as_its_character_is_a_byte(tmp_path: Path) -> None:
    content = sentencepiece_bpe.as_json(sentencepiece_bpe.train())
    vocabulary = content["model"]["vocab"]
    tab = vocabulary["\t"] = vocabulary.pop("<0x09>")
    made = sentencepiece.SentencePieceProcessor(model_file=str(write(tmp_path, content)))
    assert made.is_byte(tab)
    assert tab in made.encode("a\tb")


def test_a_tokenizer_that_merges_in_another_way_is_refused_with_the_text(tmp_path: Path) -> None:
    content = sentencepiece_bpe.as_json(sentencepiece_bpe.train())
    # A pair whose text is a token, and which this list does not merge, is merged by scores all the same.
    content["model"]["merges"] = [merge for merge in content["model"]["merges"] if merge != ["▁", "t"]]
    with pytest.raises(
        Unsupported, match=r"llama\.cpp merges tokens by scores, and tokenizes \d+ of \d+ texts .*the first is"
    ):
        write(tmp_path, content)


def normalized(content: dict[str, Any], *names: str) -> dict[str, Any]:
    steps = [*({"type": name} for name in names), *content["normalizer"]["normalizers"]]
    return {**content, "normalizer": {"type": "Sequence", "normalizers": steps}}


def test_a_normalization_that_explains_the_difference_is_its_reason(tmp_path: Path) -> None:
    content = normalized(sentencepiece_bpe.as_json(sentencepiece_bpe.train()), "NFKC", "Lowercase")
    with pytest.raises(
        Unsupported,
        match=r"json: llama\.cpp leaves the normalization of texts out \(NFKC, Lowercase\), and tokenizes \d+ of",
    ):
        write(tmp_path, content)


def test_a_normalization_that_does_not_explain_it_is_not(tmp_path: Path) -> None:
    content = normalized(sentencepiece_bpe.as_json(sentencepiece_bpe.train()), "Lowercase")
    content["model"]["merges"] = [merge for merge in content["model"]["merges"] if merge != ["▁", "t"]]
    with pytest.raises(Unsupported, match=r"llama\.cpp merges tokens by scores, and tokenizes"):
        write(tmp_path, content)


def test_nfc_is_left_to_the_gate(tmp_path: Path) -> None:
    content = sentencepiece_bpe.as_json(sentencepiece_bpe.train())
    assert write(tmp_path, normalized(content, "NFC")).exists()


METASPACE = sentencepiece_bpe.with_metaspace


@pytest.mark.parametrize("scheme", ["first", "always"])
@pytest.mark.parametrize("nfc", [False, True])
def test_a_space_that_is_put_before_a_space_is_left_to_the_gate(tmp_path: Path, scheme: str, nfc: bool) -> None:
    content = METASPACE(sentencepiece_bpe.as_json(sentencepiece_bpe.train()), scheme)
    assert write(tmp_path, {**content, "normalizer": {"type": "NFC"} if nfc else None}).exists()


def test_a_metaspace_that_does_not_explain_the_difference_is_not_its_reason(tmp_path: Path) -> None:
    content = METASPACE(sentencepiece_bpe.as_json(sentencepiece_bpe.train()))
    content["model"]["merges"] = [merge for merge in content["model"]["merges"] if merge != ["▁", "t"]]
    with pytest.raises(Unsupported, match=r"llama\.cpp merges tokens by scores, and tokenizes"):
        write(tmp_path, content)


def test_other_tokenizers_and_a_model_that_is_there_stay(tmp_path: Path) -> None:
    assert not write(tmp_path, {"model": {"type": "BPE", "vocab": {}, "merges": []}}).exists()
    (tmp_path / "tokenizer.model").write_bytes(b"its own")
    assert write(tmp_path, sentencepiece_bpe.as_json(sentencepiece_bpe.train())).read_bytes() == b"its own"
