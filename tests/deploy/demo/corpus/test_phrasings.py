"""Brackets are spread, slots are filled, and a slot that nobody filled is an error."""

import pytest

from deploy.demo.corpus.phrasings import bank, fill, owner, spread
from deploy.demo.corpus.splits import Split


def test_spread_gives_every_choice() -> None:
    assert spread("[A|B] is {x}[| now].") == ["A is {x}.", "A is {x} now.", "B is {x}.", "B is {x} now."]


def test_brackets_without_a_choice_are_text() -> None:
    assert spread('print(table["{key}"])  # [x]') == ['print(table["{key}"])  # [x]']


def test_fill_leaves_the_answer_and_other_braces() -> None:
    assert fill('{a} = {"{k}": {?}} {}', {"a": "t", "k": "map"}) == 't = {"map": {?}} {}'


def test_an_open_slot_is_an_error() -> None:
    with pytest.raises(KeyError, match="who"):
        fill("{who} sleeps.", {})


def test_a_shared_phrasing_has_one_owner() -> None:
    shares = [owner(f"phrasing {n}") for n in range(7000)]
    assert 850 < shares.count(Split.EVALUATION) < 1150
    assert 850 < shares.count(Split.CALIBRATION) < 1150


def test_a_bank_keeps_the_phrasings_of_a_sentence_together() -> None:
    for sentence in bank("facts.keeps.state", Split.EVALUATION):
        assert all(owner(p) is Split.EVALUATION for p in sentence) or len(sentence) <= 2
