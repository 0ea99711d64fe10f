"""A message can be shown anywhere: whatever a model's files put into it."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import LONGEST_MESSAGE, Corrupt, listed, plain


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


def test_a_list_that_fits_is_whole() -> None:
    assert listed(["first", "second"]) == "first; second"
    assert listed([]) == ""


def test_each_sentence_of_a_long_list_is_cut_by_itself_and_short_ones_are_whole() -> None:
    long = [f"{name} failed: {name * 1000} end of {name}" for name in "abcd"]
    shown = listed([*long, "e failed: no memory"])
    assert len(shown) <= LONGEST_MESSAGE and str(Corrupt(shown)) == shown
    parts = shown.split("; ")
    assert [part[:8] for part in parts] == [f"{name} failed" for name in "abcde"]
    assert parts[-1] == "e failed: no memory"
    assert all(len(part) > 300 and part.endswith(" ...") for part in parts[:-1])


def test_a_message_of_many_sentences_is_still_bounded() -> None:
    assert len(str(Corrupt(listed(["x" * 100] * 1000)))) <= LONGEST_MESSAGE
