"""Ends are gathered from every file that may name one, and written into every file that an engine reads."""

from typing import Any

import pytest

from tasks.source.view.ends import gather_ends, with_ends, without_stale_ends

VOCABULARY = {"</s>": 1, "<turn>": 7, "<end>": 9}


@pytest.mark.parametrize(
    ("configurations", "tokens", "others", "ends"),
    [
        ([{"eos_token_id": 5}], [], [], (5,)),
        ([{"eos_token_id": [8, 5]}, {"eos_token_id": 6}], [], [], (5, 6, 8)),
        ([{"text_config": {"eos_token_id": 4}}], [], [], (4,)),
        ([{"text_config": "none"}, {}], [], [], ()),
        # No ids: booleans are integers in Python, and a negative number means "none".
        ([{"eos_token_id": [True, -1, "2", 2.0, None, 0]}], [], [], (0,)),
        ([], [{"eos_token": "</s>"}, {"eos_token": {"content": "<end>"}}], [], (1, 9)),
        ([], [{"eos_token": "no token"}, {"eos_token": 5}, {}], ["<turn>", None, "other"], (7,)),
    ],
)
def test_ends_are_gathered_and_sorted(configurations: Any, tokens: Any, others: Any, ends: tuple[int, ...]) -> None:
    assert gather_ends(configurations, tokens, others, VOCABULARY) == ends


def test_an_ordinary_end_of_config_json_alone_is_stale() -> None:
    config, generation = {"eos_token_id": [1, 6, 7], "a": 1}, {"eos_token_id": 1}
    settled, notes = without_stale_ends(config, generation, {7})
    assert settled == {"eos_token_id": [1, 7], "a": 1}
    (note,) = notes
    assert note.startswith("config.json: eos_token_id names 6, which is an ordinary token")


def test_the_stale_end_of_a_text_model_goes_too() -> None:
    settled, notes = without_stale_ends({"text_config": {"eos_token_id": 6, "a": 1}}, {"eos_token_id": 1}, set())
    assert settled["text_config"] == {"eos_token_id": [], "a": 1}
    assert len(notes) == 1


@pytest.mark.parametrize(("generation", "marks"), [({}, set()), ({"eos_token_id": 1}, None)])
def test_nothing_is_stale_where_nothing_contradicts_it(generation: dict[str, Any], marks: set[int] | None) -> None:
    config = {"eos_token_id": 6, "text_config": {"eos_token_id": 8}}
    assert without_stale_ends(config, generation, marks) == (config, ())


@pytest.mark.parametrize(
    ("content", "ends", "settled"),
    [
        ({"eos_token_id": 1}, [1], {"eos_token_id": 1}),
        ({"eos_token_id": [1]}, [1], {"eos_token_id": [1]}),
        ({"eos_token_id": [2, 1]}, [1, 2], {"eos_token_id": [2, 1]}),
        ({"eos_token_id": 1}, [1, 2], {"eos_token_id": [1, 2]}),
        ({"eos_token_id": [1, 3]}, [1], {"eos_token_id": 1}),
        ({}, [1], {"eos_token_id": 1}),
        ({"eos_token_id": 5}, [], {"eos_token_id": 5}),
        # A text model that names none takes those of the whole.
        ({"text_config": {}}, [1], {"text_config": {}, "eos_token_id": 1}),
        (
            {"text_config": {"eos_token_id": 5, "a": 1}},
            [1],
            {"text_config": {"eos_token_id": 1, "a": 1}, "eos_token_id": 1},
        ),
    ],
)
def test_a_configuration_names_just_these_ends(content: Any, ends: list[int], settled: Any) -> None:
    assert with_ends(content, ends) == settled
