"""Added and special tokens, and pieces that a SentencePiece model's maker named, are no ordinary text."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("sentencepiece")

from tasks.source.view.marks import read_marks
from tests.fixtures import sentencepiece_bpe


def tokenizer(vocabulary: dict[str, int]) -> Any:
    """As much of transformers' tokenizer as the search asks."""
    added = {7: SimpleNamespace(content="<added>")}
    return SimpleNamespace(
        get_vocab=lambda: vocabulary, added_tokens_decoder=added, all_special_tokens=["</s>", "<lost>"]
    )


def test_without_a_model_they_are_the_tokenizer_s(tmp_path: Path) -> None:
    known = {"plain": 1, "</s>": 2, "<added>": 7}
    assert read_marks(tmp_path, tokenizer(known)) == {"</s>": 2, "<added>": 7}


def test_single_characters_are_ordinary_text(tmp_path: Path) -> None:
    """Many models define digits and punctuation so; a text must not end at each full stop."""
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train(user_defined=["<turn>", ".", "7"]))
    known = {"<s>": 0, "<turn>": 4, ".": 5, "7": 6}
    assert read_marks(tmp_path, tokenizer(known)) == {"<s>": 0, "<turn>": 4}


def test_named_pieces_have_the_ids_of_the_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bpe.train(user_defined=["<turn>"]))
    known = {"<unk>": 3, "<s>": 0, "</s>": 2, "<added>": 7, "<turn>": 4, "the": 9}
    assert read_marks(tmp_path, tokenizer(known)) == {"<s>": 0, "</s>": 2, "<added>": 7, "<turn>": 4}
