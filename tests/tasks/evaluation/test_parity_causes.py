"""The clause of a lost parity names the first text that differs."""

from tasks.evaluation.parity import Cut
from tasks.evaluation.parity_causes import parity_causes
from tasks.evaluation.reference_files import ParityCase


def cut(name: str, same: bool = False, normalized: bool = False, ambiguous: bool = False) -> Cut:
    case = ParityCase(name=name, text="x", token_ids=(1,))
    return Cut(case, (1,) if same else (2,), same=same, normalized=same or normalized, ambiguous=ambiguous)


def test_texts_are_counted_and_one_that_no_normalization_explains_is_named() -> None:
    cuts = [cut("accents", normalized=True), cut("odd space", ambiguous=True), cut("digits"), cut("words", same=True)]
    assert parity_causes(cuts, {}) == {
        "tokenizer_parity": "3 of 4 texts, the first 'odd space'",
        "tokenizer_parity_nfc": "1 of 3 texts, the first 'digits'",
    }


def test_a_cause_is_one_short_line() -> None:
    (cause,) = parity_causes(
        [], {"opening_parity": ["Prompt 'a': it is read as [] (" + "long\nwords " * 100 + ")."]}
    ).values()
    assert "\n" not in cause and len(cause) < 320


def test_every_other_parity_gives_its_first_mismatch() -> None:
    notes = {
        "end_token_parity": ["Ends: it goes on.", "Ends: another."],
        "opening_parity": [],
        "continuation_parity": ["Continuation 3: x."],
    }
    assert parity_causes([cut("a", same=True)], notes) == {
        "end_token_parity": "it goes on",
        "continuation_parity": "continuation 3: x",
    }
