"""Stop strings of generation_config.json: those that are tokens are ends, and a note names what artifacts miss."""

from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.source.view.stop_strings import read_stop_strings, stop_notes

VOCABULARY = {"<end>": 1, "User": 2}


@pytest.mark.parametrize(
    ("generation", "stops"),
    [
        ({}, ()),
        ({"stop_strings": None}, ()),
        ({"stop_strings": "User:"}, ("User:",)),
        ({"stop_strings": ["a", "b"]}, ("a", "b")),
    ],
)
def test_they_are_a_text_or_a_list(generation: dict[str, Any], stops: tuple[str, ...]) -> None:
    assert read_stop_strings(generation) == stops


@pytest.mark.parametrize("value", [5, ["a", 5], {"a": 1}, True])
def test_what_is_neither_is_named(value: Any) -> None:
    with pytest.raises(Corrupt, match=r"^generation_config\.json: stop_strings is .*; ask the publisher to fix it"):
        read_stop_strings({"stop_strings": value})


@pytest.mark.parametrize(("marks", "named"), [({1}, "'User', 'User:'"), (None, "'<end>', 'User', 'User:'")])
def test_only_an_added_token_is_always_seen(marks: set[int] | None, named: str) -> None:
    (note,) = stop_notes(["<end>", "User", "User:"], VOCABULARY, marks)
    assert f"stop_strings names {named}, at which transformers stops" in note


def test_without_such_texts_there_is_no_note() -> None:
    assert stop_notes((), VOCABULARY, {1}) == stop_notes(["<end>"], VOCABULARY, {1}) == ()
