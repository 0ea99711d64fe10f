"""The length of the context, under the names of different families."""

import pytest

from tasks.checkpoint.model_config import CONTEXT, context_length, parse_config
from tasks.errors import Corrupt


@pytest.mark.parametrize("name", CONTEXT)
def test_each_name_is_read(name: str) -> None:
    assert context_length({name: 2048}) == 2048
    assert parse_config({"text_config": {name: 2048}}).context_length == 2048


def test_without_a_name_there_is_no_limit() -> None:
    assert context_length({}) == 0 == context_length({"max_position_embeddings": None})


def test_a_whole_number_may_have_a_point() -> None:
    assert repr(context_length({"max_position_embeddings": 4096.0})) == "4096"


@pytest.mark.parametrize("value", ["2048", -1, -1.0, float("inf"), 2.5, True, 2**60])
def test_what_is_no_length_is_refused_with_the_field(value: object) -> None:
    with pytest.raises(Corrupt, match="max_position_embeddings is"):
        context_length({"max_position_embeddings": value})
