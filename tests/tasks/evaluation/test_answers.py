import pytest

from tasks.evaluation.answers import is_answer


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
