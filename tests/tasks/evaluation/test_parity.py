from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tasks.errors import Unsupported
from tasks.evaluation.parity import chat_template_parity, cut_texts, normalized_tokenizer_parity, tokenizer_parity
from tasks.evaluation.reference_files import ChatCase, Chats, ParityCase, ParityTexts, read_part
from tests.tasks.evaluation.toy import LETTERS, ToyRunner, write_reference

MESSAGES: tuple[dict[str, Any], ...] = ({"role": "user", "content": "hello"},)


def chats(text: str, dated: bool = False) -> Chats:
    case = ChatCase(name="one", messages=MESSAGES, add_generation_prompt=True, text=text)
    return Chats(dated=dated, cases=(case,))


class Rendering(ToyRunner):
    def __init__(self, text: str | None) -> None:
        super().__init__()
        self.text = text

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
        return self.text


def parity_texts(cases: Iterable[tuple[str, str, tuple[int, ...]]], space_mark: bool = False) -> ParityTexts:
    """Return texts, each with its name and its ids."""
    made = (ParityCase(name=name, text=text, token_ids=ids) for name, text, ids in cases)
    return ParityTexts(cases=tuple(made), space_mark=space_mark)


def test_the_sources_own_tokenizer_has_parity(tmp_path: Path) -> None:
    texts = read_part(write_reference(tmp_path / "toy"), "parity.json", ParityTexts)
    measured, notes = tokenizer_parity(cut_texts(ToyRunner(), texts))
    assert (measured.value, measured.observations, notes) == (1, 4, [])


def test_another_tokenizer_is_reported_with_its_first_difference_escaped(tmp_path: Path) -> None:
    texts = read_part(write_reference(tmp_path / "toy"), "parity.json", ParityTexts)
    runner = ToyRunner()
    runner.letters = LETTERS.replace("o", "#")
    measured, notes = tokenizer_parity(cut_texts(runner, texts))
    assert measured.value == 0.75
    assert notes[0].startswith("Tokenizer: 1 of 4 texts are tokenized differently. ")
    assert len(notes) == 2
    assert r"'\x1b[0m odd\n'): from token 5 on it gives [47, 3, 3, 47], the source's [14, 3, 3, 47]" in notes[1]


def test_mismatches_are_counted_by_kinds_of_text_and_named() -> None:
    class Letters(ToyRunner):
        def tokenize(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    wrong = ["greek", "special token <s>", *(f"generated {number}" for number in range(10))]
    names = ["plain", *wrong, "vocabulary from 0", "vocabulary from 64"]
    texts = {name: "\u03b1" if name == "greek" else "a" for name in names}
    cases = tuple(
        ParityCase(name=name, text=text, token_ids=() if name in wrong else (ord(text),))
        for name, text in texts.items()
    )
    cuts = cut_texts(Letters(), ParityTexts(cases=cases, space_mark=False))
    measured, notes = tokenizer_parity(cuts)
    assert (measured.value, measured.observations) == (3 / 15, 15)
    assert notes[0] == (
        "Tokenizer: 12 of 15 texts are tokenized differently. ASCII: 10 of 11; the model's own vocabulary: 0 of 2; "
        "other scripts and edge cases: 1 of 1; special tokens: 1 of 1. They are 'greek', 'special token <s>', "
        + ", ".join(repr(f"generated {number}") for number in range(6))
        + " and others."
    )
    assert tokenizer_parity(cuts[:9])[1][0].endswith(", 'generated 5'."), "of eight, all are named"


def test_an_nfc_normalization_that_is_left_out_is_named() -> None:
    class Composed(ToyRunner):
        """Knows the composed letter, and no others."""

        def tokenize(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    source = [("decomposed", "e\u0301", (0xE9,)), ("composed", "\u00e9", (0xE9,)), ("plain", "a", (0x61,))]
    texts = ParityTexts(
        cases=tuple(ParityCase(name=n, text=text, token_ids=ids) for n, text, ids in source), space_mark=False
    )
    assert tokenizer_parity(cut_texts(Composed(), texts))[0].value == pytest.approx(2 / 3)
    measured, notes = normalized_tokenizer_parity(cut_texts(Composed(), texts))
    assert measured.value == 1
    assert "does not; 1 of 3 texts agree only if they are normalized first" in notes[0]


def test_mismatches_that_no_normalization_explains_are_told_first() -> None:
    class Composed(ToyRunner):
        def tokenize(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    source = [*((f"decomposed {n}", "e\u0301", (0xE9,)) for n in range(4)), ("another", "a", (0x62,))]
    texts = ParityTexts(
        cases=tuple(ParityCase(name=n, text=text, token_ids=ids) for n, text, ids in source), space_mark=False
    )
    measured, notes = tokenizer_parity(cut_texts(Composed(), texts))
    assert (measured.value, len(notes)) == (0, 4)
    assert "text 'another'" in notes[1] and "text 'decomposed 0'" in notes[2]


def test_a_source_that_does_not_normalize_is_not_excused() -> None:
    class Letters(ToyRunner):
        def tokenize(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    wrong = ParityTexts(
        cases=(ParityCase(name="decomposed", text="e\u0301", token_ids=(0x65, 0x300)),), space_mark=False
    )
    measured, notes = normalized_tokenizer_parity(cut_texts(Letters(), wrong))
    assert (measured.value, notes) == (0, [])


@pytest.mark.parametrize(("space_mark", "share", "count"), [(True, 1.0, 2), (False, 0.5, 4)])
def test_texts_with_a_character_that_is_a_space_to_the_source_are_left_out(
    space_mark: bool, share: float, count: int
) -> None:
    class Letters(ToyRunner):
        def tokenize(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    source = [
        ("mark", "\u2581", (0x20,)),
        ("marks", "a \u2581", (0x61, 1)),
        ("plain", "a", (0x61,)),
        ("b", "b", (0x62,)),
    ]
    cases = tuple(ParityCase(name=n, text=text, token_ids=ids) for n, text, ids in source)
    cuts = cut_texts(Letters(), ParityTexts(cases=cases, space_mark=space_mark))
    measured, notes = normalized_tokenizer_parity(cuts)
    assert (measured.value, measured.observations) == (share, count)
    assert [note[:57] for note in notes] == ["Tokenizer: 2 texts with the character U+2581, which is a "] * space_mark
    assert tokenizer_parity(cuts)[0].value == 0.5


def test_every_text_is_cut_once_and_a_second_time_only_in_another_form() -> None:
    class Counting(ToyRunner):
        asked: ClassVar[list[str]] = []

        def tokenize(self, text: str) -> list[int]:
            self.asked.append(text)
            return [ord(letter) for letter in text]

    source = [("decomposed", "e\u0301", (0xE9,)), ("other", "a", (0x62,)), ("same", "b", (0x62,))]
    texts = ParityTexts(
        cases=tuple(ParityCase(name=n, text=text, token_ids=ids) for n, text, ids in source), space_mark=False
    )
    assert [(cut.same, cut.normalized) for cut in cut_texts(Counting(), texts)] == [
        (False, True),
        (False, False),
        (True, True),
    ]
    assert Counting.asked == ["e\u0301", "\u00e9", "a", "b"]


def test_a_missing_last_token_is_a_difference(tmp_path: Path) -> None:
    class Short(ToyRunner):
        def tokenize(self, text: str) -> list[int]:
            return super().tokenize(text)[:-1]

    texts = read_part(write_reference(tmp_path / "toy"), "parity.json", ParityTexts)
    assert tokenizer_parity(cut_texts(Short(), texts))[0].value == 0.25  # the empty text is cut alike


def test_chats_by_the_same_template_and_by_another() -> None:
    same, _ = chat_template_parity(Rendering("<user>hello"), chats("<user>hello"))
    assert same.value == 1
    other, notes = chat_template_parity(Rendering("<user> hello"), chats("<user>hello"))
    assert other.value == 0
    assert notes == ["Chat template, chat 'one': from character 6 on ' hello', the source's 'hello'."]


def test_a_share_of_chats_agrees_and_the_first_mismatches_are_told() -> None:
    cases = tuple(
        ChatCase(name=text, messages=MESSAGES, add_generation_prompt=True, text=text)
        for text in ("a", "b", "c", "d", "e")
    )
    measured, notes = chat_template_parity(Rendering("a"), Chats(dated=False, cases=cases))
    assert (measured.value, measured.observations) == (0.2, 5)
    assert [note.split("'")[1] for note in notes] == ["b", "c", "d"]


def test_a_lost_template_and_one_that_cannot_be_rendered_agree_on_nothing() -> None:
    for dated in (False, True):
        measured, notes = chat_template_parity(Rendering(None), chats("<user>hello", dated))
        assert measured.value == 0
        assert "it carries no template" in notes[0]

    class Failing(ToyRunner):
        def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool) -> str | None:
            raise Unsupported("no such filter")

    measured, notes = chat_template_parity(Failing(), chats("<user>hello"))
    assert measured.value == 0
    assert "no such filter" in notes[0]


def test_todays_date_is_no_difference_where_the_template_writes_it() -> None:
    for before, after in [
        ("26 Jul 2026", "1 Aug 2026"),
        ("2026-07-26", "2026-08-01"),
        ("July 26, 2026", "August 1, 2026"),
    ]:
        measured, _ = chat_template_parity(Rendering(f"Today: {after}\nhello"), chats(f"Today: {before}\nhello", True))
        assert measured.value == 1, before
        measured, _ = chat_template_parity(Rendering(f"Today: {after}\nhello"), chats(f"Today: {before}\nhello"))
        assert measured.value == 0
    measured, _ = chat_template_parity(Rendering("Today: 1 Aug 2026\nbye"), chats("Today: 26 Jul 2026\nhello", True))
    assert measured.value == 0
