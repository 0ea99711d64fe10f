"""Named special tokens: one that the tokenizer lacks needs a row of the model, once, however many fields name it."""

from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.named_tokens import ids_of, read_named, settle_named, token_text
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tests.fixtures.checkpoints import write_json

KNOWN = {"a": 0, "b": 1}


def test_two_fields_may_name_one_missing_token() -> None:
    named = {"bos_token": "<e>", "eos_token": "<e>", "unk_token": "<e>"}
    assert settle_named(named, KNOWN, rows=3) == (named, ())


def test_a_token_that_begins_or_ends_a_text_needs_a_row() -> None:
    with pytest.raises(
        Corrupt, match="eos_token is '<f>', which is no token of tokenizer.json, and the model has no row"
    ):
        settle_named({"bos_token": "<e>", "eos_token": "<f>"}, KNOWN, rows=3)


def test_another_token_without_a_row_is_left_out_with_a_note() -> None:
    settled, notes = settle_named({"eos_token": "b", "pad_token": "<pad>"}, KNOWN, rows=2)
    assert settled == {"eos_token": "b"}
    assert len(notes) == 1 and "pad_token is '<pad>'" in notes[0] and "the release leaves it out" in notes[0]


def test_objects_of_older_files_are_marked() -> None:
    settled, _ = settle_named({"eos_token": {"content": "b", "lstrip": False}}, KNOWN, rows=2)
    assert settled["eos_token"] == {"content": "b", "lstrip": False, "__type": "AddedToken"}


def test_missing_tokens_take_the_next_rows_one_after_the_other() -> None:
    named = {"bos_token": "<e>", "eos_token": "<f>"}
    assert settle_named(named, KNOWN, rows=4) == (named, ())
    assert settle_named(named, {}, rows=2) == (named, ())
    for known, rows in ((KNOWN, 3), ({}, 1)):
        with pytest.raises(Corrupt, match="eos_token is '<f>'"):
            settle_named(named, known, rows)


def test_added_tokens_have_ids_of_their_own_and_what_is_no_id_is_none() -> None:
    added = [
        {"content": "<s>", "id": 7},
        {"content": "b", "id": 8},
        {"content": "<x>", "id": "9"},
        {"content": "<y>"},
        5,
    ]
    assert ids_of(KNOWN, added) == {"a": 0, "b": 8, "<s>": 7}


@pytest.mark.parametrize(
    ("value", "text"),
    [("</s>", "</s>"), ({"content": "</s>", "lstrip": True}, "</s>"), ({}, None), (5, None), (None, None)],
)
def test_the_text_of_a_token_is_found_in_both_spellings(value: Any, text: str | None) -> None:
    assert token_text(value) == text


@pytest.mark.parametrize("field", ["additional_special_tokens", "extra_special_tokens"])
def test_objects_in_a_list_get_the_mark(tmp_path: Path, field: str) -> None:
    write_json(tmp_path / "special_tokens_map.json", {field: [{"content": "<a>", "lstrip": False}, "<b>"]})
    config, notes = read_named(Snapshot(tmp_path))
    assert config == {field: [{"content": "<a>", "lstrip": False, "__type": "AddedToken"}, "<b>"]} and notes == ()


@pytest.mark.parametrize("field", ["model_specific_special_tokens", "extra_special_tokens"])
def test_a_publisher_s_own_tokens_stand_at_the_top(tmp_path: Path, field: str) -> None:
    """There the engines that render chat templates without transformers read them."""
    named = {"turn_token": {"content": "<t>"}, "image_token": "<i>"}
    write_json(tmp_path / "tokenizer_config.json", {field: named, "eos_token": "b"})
    config, notes = read_named(Snapshot(tmp_path))
    own = {"turn_token": {"content": "<t>", "__type": "AddedToken"}, "image_token": "<i>"}
    assert config == {"eos_token": "b", **own} and notes == ()
    write_json(tmp_path / "tokenizer_config.json", {field: {**named, "image": "<i>"}})
    assert read_named(Snapshot(tmp_path))[0] == {**own, "extra_special_tokens": {"image": "<i>"}}


def test_names_for_which_there_is_no_other_place_stay_where_they_are(tmp_path: Path) -> None:
    """transformers replaces the object by what stands at the top, and a list has no names."""
    given = {
        "model_specific_special_tokens": {"image_token": "<i>", "boi": "<b>"},
        "extra_special_tokens": ["<x>"],
    }
    write_json(tmp_path / "tokenizer_config.json", given)
    assert read_named(Snapshot(tmp_path))[0] == given


@pytest.mark.parametrize("name", ["hub_token", "use_auth_token"])
def test_a_password_is_no_token_and_stands_in_no_note(name: str) -> None:
    settled, notes = settle_named({name: "hf_secret", "extra_special_tokens": ["<x>"]}, KNOWN, rows=3)
    assert settled == {name: "hf_secret", "extra_special_tokens": ["<x>"]} and notes == ()


def test_an_empty_own_token_takes_no_row(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"image_token": "", "extra_special_tokens": ["<x>"]})
    config, notes = read_named(Snapshot(tmp_path))
    assert config == {"extra_special_tokens": ["<x>"]} and "empty text of image_token" in notes[0]
    named = {"extra_special_tokens": {"image_token": "", "boi": "<x>"}}
    assert settle_named(named, KNOWN, rows=3) == (named, ())
    write_json(tmp_path / "tokenizer_config.json", named)
    assert read_named(Snapshot(tmp_path))[0] == {"extra_special_tokens": {"boi": "<x>"}}


def test_a_publisher_s_own_token_without_a_row_is_left_out_after_those_that_texts_need() -> None:
    settled, notes = settle_named({"turn_token": "<t>", "add_bos_token": True, "bos_token": "<e>"}, KNOWN, rows=3)
    assert settled == {"add_bos_token": True, "bos_token": "<e>"}
    assert len(notes) == 1 and "turn_token is '<t>'" in notes[0]


def test_an_empty_text_names_no_token(tmp_path: Path) -> None:
    own = {"bos_token": "", "eos_token": {"content": ""}, "unk_token": "<unk>", "pad_token": None, "chat_template": ""}
    write_json(tmp_path / "tokenizer_config.json", own)
    write_json(tmp_path / "special_tokens_map.json", {"bos_token": "<s>", "unk_token": ""})
    config, notes = read_named(Snapshot(tmp_path))
    assert config == {"bos_token": "<s>", "unk_token": "<unk>", "pad_token": None, "chat_template": ""}
    assert notes == (
        "tokenizer_config.json: the empty text of bos_token, eos_token is no token; the release leaves it out.",
        "special_tokens_map.json: the empty text of unk_token is no token; the release leaves it out.",
    )


@pytest.mark.parametrize(
    ("decoder", "believed"), [({}, "special_tokens_map.json"), ({"added_tokens_decoder": {}}, "tokenizer_config.json")]
)
def test_a_contradiction_is_noted_with_the_file_that_counts(
    tmp_path: Path, decoder: dict[str, Any], believed: str
) -> None:
    own = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", **decoder}
    others = {"bos_token": {"content": "<s>"}, "eos_token": "<e>", "unk_token": "<unk>"}
    write_json(tmp_path / "tokenizer_config.json", own)
    write_json(tmp_path / "special_tokens_map.json", others)
    config, notes = read_named(Snapshot(tmp_path))
    assert config["eos_token"] == ("</s>" if decoder else "<e>")
    assert notes == (
        "eos_token is '</s>' in tokenizer_config.json and '<e>' in special_tokens_map.json; "
        f"the release believes {believed}.",
    )


def test_tokens_of_lists_without_a_row_are_left_out_with_a_note() -> None:
    kept: dict[str, Any] = {
        "added_tokens_decoder": {"0": {"content": "a"}, "7": "no token"},
        "additional_special_tokens": ["b", {"content": "a"}],
        "extra_special_tokens": {"first": "a"},
    }
    without_row: dict[str, Any] = {
        "added_tokens_decoder": {**kept["added_tokens_decoder"], "8": {"content": "<8>"}},
        "additional_special_tokens": [{"content": "<9>"}, *kept["additional_special_tokens"], "<9>"],
        "extra_special_tokens": {"second": "<10>", **kept["extra_special_tokens"]},
    }
    settled, notes = settle_named(without_row, KNOWN, rows=2)
    assert settled == kept
    assert [note.split(",")[0] for note in notes] == [
        "tokenizer_config.json: added_tokens_decoder names '<8>'",
        "tokenizer_config.json: additional_special_tokens names '<9>'",
        "tokenizer_config.json: extra_special_tokens names '<10>'",
    ]
    assert all(note.endswith("the release leaves it out.") for note in notes)
    assert settle_named(without_row, KNOWN, rows=5) == (without_row, ())
