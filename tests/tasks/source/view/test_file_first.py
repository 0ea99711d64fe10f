"""What tokenizer.json says counts, and what would make a release cut texts otherwise goes."""

from typing import Any

import pytest

from tasks.source.view.file_first import FLAGS, follow_file, settle_content

NONE = dict.fromkeys(FLAGS, False)
END, PAD = {"id": 1, "content": "</s>", **NONE}, {"id": 4, "content": "[PAD]", **NONE}


@pytest.mark.parametrize("content", [{"added_tokens": [END]}, {"added_tokens": None, "model": {"dropout": None}}, {}])
def test_a_sound_file_stays_as_it_is(content: dict[str, Any]) -> None:
    assert settle_content(content, 2) == (content, ())


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"vocab": {}, "merges": []}, "BPE"), ({"vocab": [["a", 0.0]]}, "Unigram"), ({"vocab": {}}, None)],
)
def test_the_type_of_the_model_is_named(fields: dict[str, Any], name: str | None) -> None:
    settled, notes = settle_content({"model": {"dropout": None, **fields}}, 0)
    assert settled == {"model": {"dropout": None, **fields, **({"type": name} if name else {})}}
    assert notes == ()
    settled, (note,) = settle_content({"model": {**fields, "dropout": 0.1}}, 0)
    assert settled["model"].get("type") == name and settled["model"]["dropout"] is None
    assert note == "tokenizer.json: dropout is 0.1, which is for training; the release has none."


def test_lengths_of_a_batch_are_left_out() -> None:
    padding = {"strategy": {"Fixed": 512}, "pad_id": 0}
    settled, notes = settle_content({"truncation": {"max_length": 512}, "padding": padding}, 0)
    assert settled == {"truncation": None, "padding": None}
    assert notes == ("tokenizer.json sets truncation and padding for batches; the release has none.",)
    assert settle_content({"truncation": None, "padding": padding}, 0)[1][0].startswith(
        "tokenizer.json sets padding for"
    )


@pytest.mark.parametrize(("rows", "kept"), [(4, [END]), (5, [END, PAD]), (0, [END, PAD])])
def test_a_token_needs_a_row_if_their_number_is_known(rows: int, kept: list[dict[str, Any]]) -> None:
    settled, notes = settle_content({"added_tokens": [END, PAD]}, rows)
    assert settled == {"added_tokens": kept}
    assert len(notes) == (len(kept) == 1)


@pytest.mark.parametrize("beside", [{}, NONE])
def test_the_same_flags_or_none_are_no_contradiction(beside: dict[str, Any]) -> None:
    others = {"9": {"content": "<x>"}, "2": "text"}
    config = {"added_tokens_decoder": {"1": {"content": "</s>", "special": True, **beside}, **others}}
    settled, notes = follow_file(config, {"added_tokens": [END, "text"]})
    assert settled == {"added_tokens_decoder": {"1": {"content": "</s>", "special": True, **NONE}, **others}}
    assert notes == ()
    assert follow_file(config, {"added_tokens": [{"id": 1, "content": "</s>"}]}) == (settled, ())


def test_other_flags_give_way() -> None:
    config = {"added_tokens_decoder": {"1": {"content": "</s>", "lstrip": True, "special": True}}}
    settled, (note,) = follow_file(config, {"added_tokens": [END]})
    assert settled == {"added_tokens_decoder": {"1": {"content": "</s>", **NONE, "special": True}}}
    assert note == "tokenizer_config.json gives '</s>' other flags than tokenizer.json, which is the tokenizer."


@pytest.mark.parametrize(("value", "notes"), [(True, 1), (False, 0)])
def test_special_tokens_are_always_found_in_texts(value: bool, notes: int) -> None:
    settled, told = follow_file({"split_special_tokens": value}, {})
    assert (settled, len(told)) == ({}, notes)
