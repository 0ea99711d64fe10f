"""Tokens that files beside a tokenizer add are read as transformers reads them, and tokenizer.json is the truth."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.view.added_beside import (
    NONE,
    added_beside_json,
    added_beside_model,
    check_ids,
    read_added_file,
    with_added,
)

PIECES = {"a": 0, "<end>": 1}
LISTED = {"id": 2, "content": "<s>", **NONE, "special": True}


def beside(folder: Path, listed: Any, config: dict[str, Any] | None = None, rows: int = 0) -> Any:
    (folder / "added_tokens.json").write_text(json.dumps(listed))
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return added_beside_json(Snapshot(folder), {"added_tokens": [LISTED]}, PIECES, config or {}, rows)


def test_a_token_that_tokenizer_json_does_not_add_is_added_with_the_flags_of_transformers(tmp_path: Path) -> None:
    config = {"eos_token": {"content": "<end>"}, "additional_special_tokens": ["<call>"]}
    added, (note,) = beside(tmp_path, {"<s>": 2, "<end>": 1, "<call>": 3, "<plain>": 4}, config)
    assert added == {
        "<end>": {"id": 1, **NONE, "special": True},
        "<call>": {"id": 3, **NONE, "special": True},
        "<plain>": {"id": 4, **NONE, "normalized": True},
    }
    assert note == (
        "added_tokens.json names tokens that tokenizer.json does not add ('<end>', '<call>', '<plain>'); the release's "
        "file adds them."
    )


@pytest.mark.parametrize(("text", "own", "count"), [("<s>", 2, 1), ("<end>", 1, 2)])
def test_an_id_of_tokenizer_json_is_the_truth(tmp_path: Path, text: str, own: int, count: int) -> None:
    added, notes = beside(tmp_path, {text: 7})
    assert added.get(text, {"id": own})["id"] == own
    assert notes[0] == (
        f"added_tokens.json gives the token '{text}' the id 7, and tokenizer.json gives it {own}; tokenizer.json is "
        "the tokenizer."
    )
    assert len(notes) == count


def test_a_token_without_a_row_is_left_out(tmp_path: Path) -> None:
    added, (note,) = beside(tmp_path, {"<pad>": 3}, rows=3)
    assert not added and "gives the token '<pad>' the id 3, and the model has 3 tokens" in note
    assert beside(tmp_path, {"<pad>": 3}, rows=4)[0]
    assert list(beside(tmp_path, {"<pad>": 3, "<end>": 1}, rows=3)[0]) == ["<end>"], "the next one still counts"


def test_the_file_does_not_count_where_the_configuration_lists_added_tokens(tmp_path: Path) -> None:
    assert beside(tmp_path, {"<pad>": "no id"}, {"added_tokens_decoder": {}}) == ({}, ())


@pytest.mark.parametrize("number", ["4", -1, 1.0, True, None])
def test_what_is_no_id_is_named(tmp_path: Path, number: Any) -> None:
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": number}))
    with pytest.raises(Corrupt, match=r"^added_tokens\.json: the token '<pad>' has the id .* ask the publisher to fix"):
        read_added_file(Snapshot(tmp_path))


def test_a_file_gets_the_tokens_in_the_order_of_their_ids() -> None:
    added = {"<b>": {"id": 3, **NONE}, "<a>": {"id": 1, **NONE}}
    listed = with_added({"model": 1, "added_tokens": [LISTED]}, added)["added_tokens"]
    assert [token["content"] for token in listed] == ["<a>", "<s>", "<b>"]
    assert with_added({"model": 1}, {}) == {"model": 1}
    assert with_added({"model": 1}, {"<b>": added["<b>"]})["added_tokens"] == [{"content": "<b>", "id": 3, **NONE}]


def test_a_model_of_sentencepiece_gets_the_tokens_of_both_files(tmp_path: Path) -> None:
    decoder = {"5": {"content": "<x>", "lstrip": True, "special": True, "id": 9}, "6": "<y>", "six": "<z>", "7": {}}
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 0, "<x>": 4}))
    assert added_beside_model(Snapshot(tmp_path)) == {"<pad>": {"id": 0, **NONE}, "<x>": {"id": 4, **NONE}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    assert added_beside_model(Snapshot(tmp_path)) == {
        "<pad>": {"id": 0, **NONE},
        "<x>": {"id": 5, **NONE, "lstrip": True, "special": True},
        "<y>": {"id": 6, **NONE},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": ["<x>"]}))
    assert added_beside_model(Snapshot(tmp_path))["<x>"] == {"id": 4, **NONE}


def test_an_id_that_transformers_does_not_give_is_refused() -> None:
    loaded = SimpleNamespace(convert_tokens_to_ids={"<a>": 3, "<b>": 4}.get)
    # The library ignores an added token with the empty text.
    check_ids(loaded, {"<a>": 3, "<b>": 4, "": 9}, "added_tokens.json", "remove it")
    with pytest.raises(Refused) as refused:
        check_ids(loaded, {"<a>": 3, "<b>": 5}, "added_tokens.json", "remove it")
    assert str(refused.value) == (
        "The token '<b>' has the id 5 in added_tokens.json, and transformers gives it the id 4; ask the publisher to "
        "remove it."
    )
