"""The three texts share nothing that would let memory of lines pass for knowledge."""

import re
from functools import cache
from itertools import combinations

import pytest

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split, split_of

PAIRS = list(combinations(Split, 2))


@cache
def drawn(split: Split) -> list[Document]:
    return take(split, 1500)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_document_is_in_two_splits(one: Split, other: Split) -> None:
    assert not {d.text for d in drawn(one)} & {d.text for d in drawn(other)}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_phrasing_is_in_two_splits(one: Split, other: Split) -> None:
    phrasings = [{phrasing for d in drawn(split) for phrasing in d.phrasings} for split in (one, other)]
    assert all(len(found) > 200 for found in phrasings)
    assert not phrasings[0] & phrasings[1]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_combination_of_facts_is_in_two_splits(one: Split, other: Split) -> None:
    facts = [{fact for d in drawn(split) for fact in d.facts} for split in (one, other)]
    assert all(len(found) > 200 for found in facts)
    assert not facts[0] & facts[1]


@pytest.mark.parametrize("split", Split)
def test_every_document_names_what_it_is_made_of(split: Split) -> None:
    for document in drawn(split):
        assert document.phrasings
        assert document.facts or not document.answer


def test_a_split_owns_about_its_share_of_pairs() -> None:
    owned = [split_of(a, b) for a in range(21) for b in range(21)]
    assert owned.count(Split.EVALUATION) == owned.count(Split.CALIBRATION) == 63


def words(documents: list[Document]) -> set[str]:
    """Words of the scripts that write spaces between them."""
    return {word.lower() for document in documents for word in re.findall(r"[A-Za-zÀ-ӿ]+", document.text)}


def test_evaluation_uses_only_words_that_training_teaches() -> None:
    assert not words(drawn(Split.EVALUATION)) - words(take(Split.TRAINING, 6000))
