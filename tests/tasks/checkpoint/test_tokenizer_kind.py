"""The kind of a tokenizer, by its files. tokenizer.json counts before the files of older tokenizers."""

from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tokenizer_kind import tokenizer_kind
from tests.fixtures.checkpoints import write_json


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Split"}}, "bpe"),
        (
            {"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]}},
            "byte-bpe",
        ),
        ({"model": {"type": "Unigram"}}, "unigram"),
        ({"model": {"type": "WordPiece"}}, "wordpiece"),
        ({"model": {"type": "WordLevel"}}, "wordlevel"),
        ({"model": {"type": "Novel"}}, "none"),
        ({"model": {"vocab": {}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}, "byte-bpe"),
        ({"model": {"vocab": {}, "max_input_chars_per_word": 100}}, "wordpiece"),
        ({"model": {"vocab": [["a", 0.0]]}}, "unigram"),
        ({"model": {"vocab": {}}}, "none"),
        ({"model": "BPE"}, "none"),
        ({}, "none"),
    ],
)
def test_kinds_of_tokenizers(tmp_path: Path, content: dict[str, Any], kind: str) -> None:
    write_json(tmp_path / "tokenizer.json", content)
    (tmp_path / "tokenizer.model").write_text("a second one")
    assert tokenizer_kind(Snapshot(tmp_path)) == kind


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["tokenizer.model"], "sentencepiece"),
        (["vocab.json", "merges.txt"], "byte-bpe"),
        (["spiece.model"], "sentencepiece"),
        (["vocab.json"], "none"),
        (["vocab.txt"], "wordpiece"),
        ([], "none"),
    ],
)
def test_tokenizers_without_tokenizer_json(tmp_path: Path, files: list[str], kind: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert tokenizer_kind(Snapshot(tmp_path)) == kind
