"""Configurations follow the tokenizer's own tokens, and change in nothing else."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.source.view.own_ids import BOS, PAD, Own, follow_tokenizer, own_tokens

OWN = {BOS: Own("<s>", 0), PAD: Own("<pad>", 3)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"bos_token_id": 0, "pad_token_id": 3}, {}),
        ({"bos_token_id": None, "pad_token_id": None}, {}),
        ({}, {}),
        ({"bos_token_id": 5}, {"bos_token_id": 0}),
        ({"bos_token_id": 5, "pad_token_id": 1}, {"bos_token_id": 0, "pad_token_id": 3}),
        ({"text_config": {"bos_token_id": 5, "a": 1}}, {"text_config": {"bos_token_id": 0, "a": 1}}),
        ({"text_config": {"bos_token_id": None}}, {}),
        ({"text_config": 5, "pad_token_id": 1}, {"pad_token_id": 3}),
    ],
)
def test_an_id_that_contradicts_the_tokenizer_is_replaced(content: dict[str, Any], expected: dict[str, Any]) -> None:
    settled, notes = follow_tokenizer("x.json", content, OWN, (BOS, PAD))
    assert settled == {**content, **expected}
    assert len(notes) == len(expected)


def test_a_note_says_what_was_replaced() -> None:
    _, notes = follow_tokenizer("x.json", {"bos_token_id": 5, "text_config": {"bos_token_id": 6}}, OWN, (BOS, PAD))
    rest = "and the tokenizer's bos_token is '<s>', which has the id 0; the release uses 0."
    assert notes == (f"x.json: text_config.bos_token_id is 6, {rest}", f"x.json: bos_token_id is 5, {rest}")


def test_only_the_named_tokens_are_followed() -> None:
    content = {"bos_token_id": 5, "pad_token_id": 1}
    assert follow_tokenizer("x", content, OWN, (BOS,))[0] == {"bos_token_id": 0, "pad_token_id": 1}
    assert follow_tokenizer("x", content, {}, (BOS, PAD)) == (content, ())
    only_pad = {PAD: OWN[PAD]}
    assert follow_tokenizer("x", content, only_pad, (BOS, PAD))[0] == {"bos_token_id": 5, "pad_token_id": 3}


def test_a_token_counts_if_the_tokenizer_names_it_and_the_model_has_its_row() -> None:
    vocabulary = {"<s>": 0, "<pad>": 3}
    assert own_tokens(SimpleNamespace(bos_token="<s>", pad_token="<pad>"), vocabulary, 4) == OWN
    assert own_tokens(SimpleNamespace(bos_token="<s>", pad_token="<pad>"), vocabulary, 0) == OWN
    assert own_tokens(SimpleNamespace(bos_token="<s>", pad_token="<pad>"), vocabulary, 3) == {BOS: OWN[BOS]}
    assert own_tokens(SimpleNamespace(bos_token=None, pad_token="<other>"), vocabulary, 4) == {}
    assert own_tokens(None, {}, 4) == {}
