from pathlib import Path

import pytest

from tasks.checkpoint.reasons import REASON_CHARACTERS
from tasks.errors import Corrupt, Refused
from tasks.source.checks.sandbox import Exceeded, Failed
from tasks.source.view.cuts import Difference, NotLoaded, cut_by_file, first_difference, quote


def test_a_quoted_text_keeps_its_spaces() -> None:
    assert str(Difference("a  b\t", 1, 40)) == r"1 of 40 texts (the first is 'a  b\t')"


def test_two_forms_of_one_tokenizer_may_differ_in_one_text_of_twenty() -> None:
    assert Difference("a", 2, 40).few and not Difference("a", 3, 40).few


def test_tokenizers_are_compared_on_the_texts_that_both_have_cut() -> None:
    one = {"alone": (0,), "a": (1,), "b": (2,), "c": (3,), "d": (4,)}
    assert first_difference(one, {"d": (9,), "c": (3,), "b": (9,), "a": (1,), "more": (5,)}) == Difference("b", 2, 4)
    assert first_difference(one, {"a": (1,), "more": (5,)}) is None


def test_long_runs_are_counted() -> None:
    assert quote("x" + " " * 130 + "y") == "'x[130 times ' ']y'"
    assert quote("x" + "\n" * 70 + "y") == r"'x[70 times '\n']y'"
    assert quote("a" * 10) == "'[10 times 'a']'"
    assert quote("a" * 9) == "'aaaaaaaaa'", "a short run is shown as it is"


def test_a_long_text_is_cut() -> None:
    longest = "ab" * (REASON_CHARACTERS // 2 - 1)
    assert quote(longest) == repr(longest)
    assert quote(f"{longest}c") == f"'{longest}c..."


@pytest.mark.parametrize(
    ("ended", "error", "message"),
    [
        (
            Exceeded(),
            Refused,
            "tokenizer.json exceeds its limits of two minutes and 4 GB when it is loaded and tokenizes texts; do",
        ),
        (Failed("a signal"), Corrupt, r"tokenizer.json does not tokenize plain text \(a signal\); ask the publisher"),
    ],
)
def test_a_process_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, ended: Exception, error: type[Exception], message: str
) -> None:
    def ask(*_: object) -> None:
        raise ended

    monkeypatch.setattr("tasks.source.view.cuts.ask", ask)
    with pytest.raises(error, match=message):
        cut_by_file(Path("tokenizer.json"), ["a"])


def test_a_file_that_does_not_load_is_no_failure_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.source.view.cuts.ask", lambda *_: {"error": "no model"})
    with pytest.raises(NotLoaded, match="no model"):
        cut_by_file(Path("tokenizer.json"), ["a"])
