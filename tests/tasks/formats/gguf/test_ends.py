from pathlib import Path

import pytest

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import NotFound
from tasks.formats.gguf.ends import (
    CONTROL_TEXTS,
    KNOWN_TEXTS,
    caveats_of_ends,
    caveats_of_texts,
    end_ids_text,
    other_texts,
    with_ends,
)


@pytest.mark.parametrize(
    ("special", "ends", "found"),
    [
        # Known texts need no field.
        ({"eos": 1}, {1: "<|endoftext|>", 4: "<|im_end|>"}, {"eos": 1}),
        ({"eos": 1, "bos": 0}, {1: "<|endoftext|>", 4: "<|fin|>"}, {"eos": 1, "bos": 0, "eot": 4}),
        ({"eos": 1}, {1: "a", 4: "b", 5: "c"}, {"eos": 1, "eot": 4, "eom": 5}),
        ({"eos": 1}, {1: "a", 4: "</s>", 5: "b", 6: "c"}, {"eos": 1, "eot": 5, "eom": 6}),
        # A fourth one of an unknown text has no place.
        ({"eos": 1}, {1: "a", 4: "b", 5: "c", 6: "d"}, {"eos": 1, "eot": 4, "eom": 5}),
        # What the converter names and the source does not end at.
        ({"eos": 1, "eot": 9}, {1: "a", 4: "b"}, {"eos": 1, "eot": 4}),
        ({"eos": 1, "eot": 4}, {1: "a", 4: "b", 5: "c"}, {"eos": 1, "eot": 4, "eom": 5}),
        # Without a field, llama.cpp would take an id of its own.
        ({}, {4: "b"}, {"eos": 4}),
        ({"eos": 9}, {4: "b"}, {"eos": 4}),
        ({"eos": 1}, {}, {"eos": 1}),
    ],
)
def test_a_file_names_as_many_ends_as_it_can(
    special: dict[str, int], ends: dict[int, str | None], found: dict[str, int]
) -> None:
    assert with_ends(special, ends) == found


def test_the_own_field_is_a_list_of_ids() -> None:
    assert end_ids_text([1, 4]) == "1,4"
    assert end_ids_text([]) == ""


TOKENS = ["a", "</s>", "<|end|>", "<eos>", "<\u0120eos>"]


def test_ordinary_tokens_that_the_engine_takes_for_ends_get_texts_that_no_text_is_cut_into() -> None:
    # The second is special, the third is cut by the source, and for the fourth the first choice is taken.
    found = other_texts(TOKENS, [0, 2, 3, 4], lambda text: [2] if text == "a<|end|>a" else [0])
    assert found == {3: "<\u0120\u0120eos>"}
    assert other_texts(TOKENS, [1], lambda text: [0]) == {1: "<\u0120/s>"}


def test_ordinary_tokens_that_the_engine_takes_to_fill_in_code_get_other_texts_too() -> None:
    assert other_texts(["a", "<REPO>"], [0, 1], lambda text: [0]) == {1: "<\u0120REPO>"}


def test_no_two_tokens_get_the_same_text() -> None:
    assert other_texts(["a", "</s>", "</s>"], [1, 2], lambda text: [0]) == {1: "<\u0120/s>", 2: "<\u0120\u0120/s>"}


def test_what_differs_from_the_source_is_told() -> None:
    assert caveats_of_texts({}) == caveats_of_ends([1], {1: "</s>"}) == []
    (said,) = caveats_of_texts({7: "</s>"})
    assert said.startswith("The file has other texts for the tokens '</s>' (7), because llama.cpp would take them for")
    (said,) = caveats_of_ends([1], {1: "</s>", 9: "<|fim_pad|>", 8: "<|end|>"})
    assert "also end a text at '<|end|>' (8), '<|fim_pad|>' (9), where the source goes on" in said


def test_the_known_texts_are_the_engines() -> None:
    try:
        source = (Path(llama_cpp().tree) / "src" / "llama-vocab.cpp").read_text(encoding="utf-8")
    except NotFound:
        pytest.skip("llama.cpp is not built here")
    listed = source.split("special_eog_ids.clear();")[1].split("special_eog_ids.insert(t.second)")[0]
    assert {line.split('"')[1] for line in listed.splitlines() if "t.first ==" in line} == KNOWN_TEXTS
    filling = source.split("// find FIM_PRE token")[1].split("// maintain a list of tokens that cause")[0]
    assert {line.split('"')[1] for line in filling.splitlines() if "t.first ==" in line} == CONTROL_TEXTS
