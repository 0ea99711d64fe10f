"""A message can be shown anywhere: whatever a model's files put into it."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import LONGEST_MESSAGE, Corrupt, plain


@given(st.text(st.characters()))
def test_any_text_becomes_one_that_consoles_and_files_take(text: str) -> None:
    shown = str(Corrupt(text))
    shown.encode("utf-8")
    assert all(line.isprintable() for line in shown.split("\n")) and len(shown) <= LONGEST_MESSAGE
    assert plain(shown) == shown


def test_what_controls_a_terminal_is_spelled_out() -> None:
    assert plain("tensor '\x1b[2J\x07' of\u202e it: ä 漢") == r"tensor '\x1b[2J\x07' of\u202e it: ä 漢"


def test_of_a_long_message_both_ends_are_reported() -> None:
    assert plain("begin" + "x" * 10**6 + "end").startswith("begin")
    assert plain("begin" + "x" * 10**6 + "end").endswith("end")
