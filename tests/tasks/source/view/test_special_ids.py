"""Ids that mean "none" leave a configuration, and nothing else changes."""

from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.source.view.special_ids import settle_special_ids


@pytest.mark.parametrize(
    ("content", "settled"),
    [
        ({"pad_token_id": -1, "a": -1}, {"pad_token_id": None, "a": -1}),
        ({"eos_token_id": [2, -1]}, {"eos_token_id": [2]}),
        ({"eos_token_id": [-1]}, {"eos_token_id": None}),
        ({"eos_token_id": []}, {"eos_token_id": []}),
        ({"bos_token_id": 0, "pad_token_id": None}, {"bos_token_id": 0, "pad_token_id": None}),
        ({}, {}),
        ({"text_config": {"pad_token_id": -1, "a": 1}}, {"text_config": {"pad_token_id": None, "a": 1}}),
        ({"text_config": "none"}, {"text_config": "none"}),
    ],
)
def test_a_negative_id_means_none(content: dict[str, Any], settled: dict[str, Any]) -> None:
    before = repr(content)
    assert settle_special_ids("config.json", content, 10) == settled
    assert repr(content) == before


def test_a_whole_number_is_written_without_its_fraction() -> None:
    """As texts, because 1 and 1.0 are equal in Python."""
    settled = settle_special_ids("generation_config.json", {"eos_token_id": [1.0, 4], "bos_token_id": 2.0}, 10)
    assert repr(settled) == "{'eos_token_id': [1, 4], 'bos_token_id': 2}"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"pad_token_id": 10}, "pad_token_id"),
        ({"text_config": {"eos_token_id": [1, 10]}}, r"text_config\.eos_token_id"),
    ],
)
def test_an_id_without_a_row_is_corrupt(content: dict[str, Any], field: str) -> None:
    with pytest.raises(Corrupt, match=rf"config\.json: {field} is 10"):
        settle_special_ids("config.json", content, 10)
    assert settle_special_ids("config.json", content, 0) == content
