import re
import unicodedata

from tasks.checkpoint.parity_texts import (
    GENERATED,
    SPECIAL_TOKENS,
    WRITTEN,
    choose_tokens,
    generated_texts,
    kind_of,
    special_token_texts,
    vocabulary_texts,
)


def test_the_generated_strings_are_a_thousand_and_always_the_same() -> None:
    texts = generated_texts()
    assert len(texts) == GENERATED == 1000
    assert texts == generated_texts()
    assert len(set(texts.values())) > 950


def test_every_kind_of_trouble_is_there() -> None:
    everything = "".join([*WRITTEN.values(), *generated_texts().values()])
    for trouble in ["\u200d", "\ufe0f", "\u0301", "\r\n", "    ", "\t", "\x1b", "https://", "\u0661", "日", "def "]:
        assert trouble in everything, repr(trouble)
    categories = {unicodedata.category(letter) for letter in everything}
    assert {"Lu", "Ll", "Lo", "Mn", "Mc", "Nd", "No", "Pc", "Sm", "So", "Sk", "Zs", "Cc", "Cf"} <= categories


def test_the_generated_strings_mix_words_spaces_numbers_joiners_and_pieces_of_the_others() -> None:
    everything = "".join(generated_texts().values())
    written = "".join(WRITTEN.values())
    # The first four are in no written text, so only their own branch makes them.
    for only_generated in ("[\u1e00-\u1eff]{3}", "\u3000\u3000", "[0-9]{11}", "\u200c"):
        assert re.search(only_generated, everything) and not re.search(only_generated, written)
    assert "schiff" in everything


def test_the_whole_vocabulary_is_in_texts_of_64_tokens() -> None:
    words = [f"word{number}" for number in range(130)]
    texts = vocabulary_texts(words)
    assert list(texts) == ["vocabulary from 0", "vocabulary from 64", "vocabulary from 128"]
    assert "\n".join(texts.values()).split("\n") == words


def test_every_text_survives_utf_8() -> None:
    for text in [*WRITTEN.values(), *generated_texts().values()]:
        assert text.encode().decode() == text
        assert "\0" not in text


def test_one_token_of_each_kind_is_chosen_before_a_second_one() -> None:
    reserved = {f"<{number}>": (False, False) for number in range(100)}
    assert choose_tokens({**reserved, "<98>": (True, False), "<99>": (True, False)}) == [
        *(f"<{number}>" for number in range(SPECIAL_TOKENS - 1)),
        "<98>",
    ]
    assert choose_tokens({"<b>": 1, "<a>": 2, "<c>": 1}) == ["<b>", "<a>", "<c>"]


def test_special_tokens_stand_whole_and_halved() -> None:
    texts = special_token_texts(["<s>", "</s>"])
    assert texts["special token <s>"] == "before<s>after <s> <s><s>\n<s>"
    assert texts["half a special token </s>"] == "</s /s>"
    assert texts["all special tokens"] == "<s></s>"
    assert special_token_texts([]) == {}


def test_every_text_has_its_kind() -> None:
    texts = {**WRITTEN, **special_token_texts(["<s>"]), **vocabulary_texts(["a"])}
    kinds = {name: kind_of(name, text) for name, text in texts.items()}
    assert (kinds["code"], kinds["greek"]) == ("ASCII", "other scripts and edge cases")
    assert {kinds[name] for name in special_token_texts(["<s>"])} == {"special tokens"}
    assert kinds["vocabulary from 0"] == "the model's own vocabulary"
