"""Tokenizers that do not load, or have more tokens than the model, are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.checks.sandbox import Exceeded, Failed
from tasks.source.checks.tokenizer import check_tokenizer
from tasks.source.parameters import ScanParameters
from tests.fixtures.checkpoints import VOCABULARY, make_checkpoint

PARAMETERS = ScanParameters(repository="a/b", commit="0" * 40)


def check(folder: Path, config: dict[str, Any] | None = None, text: str | None = None) -> tuple[str, bool]:
    make_checkpoint(folder, config=config)
    if text is not None:
        (folder / "tokenizer.json").write_text(text)
    return check_tokenizer(Snapshot(folder), PARAMETERS)


def test_a_sound_one(tmp_path: Path) -> None:
    assert check(tmp_path) == (f"tokenizer.json loads: {VOCABULARY} tokens", True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": {"type": "Novel"}}'])
def test_one_that_does_not_load(tmp_path: Path, text: str) -> None:
    with pytest.raises(Corrupt, match=r"tokenizer.json does not load \(.+\); ask"):
        check(tmp_path, text=text)


def test_more_tokens_than_rows(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match=r"has the id 3\d\d, but the model has 300 tokens \(vocab_size in config"):
        check(tmp_path, config={"vocab_size": 300})


def test_added_tokens_without_a_row_are_reported(tmp_path: Path) -> None:
    content = json.loads((make_checkpoint(tmp_path) / "tokenizer.json").read_text())
    added = {**content["added_tokens"][0], "id": VOCABULARY, "content": "<|image|>"}
    content["added_tokens"].append(added)
    assert "1 added ones have no row" in check(tmp_path, text=json.dumps(content))[0]


def test_one_that_makes_no_tokens(tmp_path: Path) -> None:
    empty = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    with pytest.raises(Corrupt, match="makes no tokens"):
        check(tmp_path, text=json.dumps(empty))


@pytest.mark.parametrize(("fuse", "what"), [(True, "a text without tokens"), (False, "the token '\u0120' alone")])
def test_one_that_does_not_decode(tmp_path: Path, fuse: bool, what: str) -> None:
    content = json.loads((make_checkpoint(tmp_path) / "tokenizer.json").read_text())
    space = {"type": "Replace", "pattern": {"String": "\u0120"}, "content": " "}
    steps = [space, *([{"type": "Fuse"}] if fuse else []), {"type": "Strip", "content": " ", "start": 1, "stop": 1}]
    with pytest.raises(Corrupt, match=rf"tokenizer\.json: its decoder fails on {what} \(.+\); ask the publisher"):
        check(tmp_path, text=json.dumps({**content, "decoder": {"type": "Sequence", "decoders": steps}}))


@pytest.mark.parametrize(
    ("ended", "error", "message"),
    [
        (Exceeded(), Refused, "tokenizer.json exceeds its limits of a minute and 4 GB .*; do not use this repository."),
        (Failed("a signal"), Corrupt, r"tokenizer.json does not tokenize plain text \(a signal\); ask the publisher"),
    ],
)
def test_a_process_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Exception, error: type[Exception], message: str
) -> None:
    def ask(*_: object) -> None:
        raise ended

    monkeypatch.setattr("tasks.source.checks.tokenizer.ask", ask)
    with pytest.raises(error, match=message):
        check(tmp_path)


def test_without_a_stated_vocabulary_the_embedding_has_the_rows(tmp_path: Path) -> None:
    one = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": VOCABULARY}, "merges": []}}
    with pytest.raises(Corrupt, match=f"has the id {VOCABULARY}, but"):
        check(tmp_path, config={"vocab_size": None}, text=json.dumps(one))


def test_without_a_known_embedding_no_token_lacks_a_row(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, config={"vocab_size": None})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"model.embed_tokens.weight", b"model.embeddings12.weight"))
    assert check_tokenizer(Snapshot(folder), PARAMETERS) == (f"tokenizer.json loads: {VOCABULARY} tokens", True)


def test_none(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.json").unlink()
    assert check_tokenizer(Snapshot(folder), PARAMETERS) == ("there is no tokenizer.json", False)
