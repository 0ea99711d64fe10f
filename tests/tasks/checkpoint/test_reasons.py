"""A library's message becomes one short line."""

from tasks.checkpoint.reasons import REASON_CHARACTERS, reason


def test_it_is_one_printable_line() -> None:
    assert reason("a\n  b\t\x1b[31mc\u202e ") == "a b [31mc"


def test_it_is_cut() -> None:
    assert reason("x" * REASON_CHARACTERS) == "x" * REASON_CHARACTERS
    assert reason("x" * 1000) == "x" * REASON_CHARACTERS + "..."
