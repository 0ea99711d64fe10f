import itertools

import pytest

from tasks.evaluation.answers import is_answer, is_decided


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (" 12.", "12", True),
        ("12", " 12", True),
        ("123", "12", False),
        ("1", "12", False),
        (" Anna went", "Anna", True),
        ("Annabel", "Anna", False),
        ("the cat", "cat", False),
        ("水です", "水", False),
        ("水。", "水", True),
        ("f(x)y", "f(x)", True),
        ("", "12", False),
        ("anything", "", False),
    ],
)
def test_an_answer_stands_first_and_ends_where_it_should(text: str, answer: str, right: bool) -> None:
    assert is_answer(text, answer) is right


@pytest.mark.parametrize(
    ("text", "answer", "decided"),
    [
        ("", "12", False),
        (" ", "12", False),
        ("1", "12", False),
        ("12", "12", False),
        ("12 ", "12", True),
        ("123", "12", True),
        ("2", "12", True),
        ("the", "cat", True),
        ("\ufffd", "cat", False),
        ("c\ufffd", "cat", False),
        ("d\ufffd", "cat", True),
        ("", "", True),
    ],
)
def test_what_decides_an_answer(text: str, answer: str, decided: bool) -> None:
    assert is_decided(text, answer) is decided


@pytest.mark.parametrize("answer", ["a", "ab", "a.", " b", ".", ""])
def test_a_decided_answer_stays_what_it_is(answer: str) -> None:
    """All texts of up to six characters of four kinds: letters, a point, a space."""
    texts = ["".join(letters) for size in range(7) for letters in itertools.product("ab. ", repeat=size)]
    decided = {text for text in texts if is_decided(text, answer)}
    for text in texts:
        for end in range(len(text)):
            if text[:end] in decided:
                assert is_answer(text[:end], answer) == is_answer(text, answer)
    assert decided
    assert all(is_decided(text, answer) for text in texts if len(text.strip()) > len(answer.strip()))
