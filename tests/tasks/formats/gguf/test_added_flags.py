"""The flags of added tokens: which of them llama.cpp follows, and the name in the file for that."""

import pytest
from tokenizers import AddedToken

from tasks.formats.gguf.added_flags import caveats_of_flags, lost_flags, name_in_file, strips_as_phi_3

KEPT = [AddedToken(text) for text in ("<unk>", "<s>", "<|endoftext|>")]
STRIPPED = [AddedToken(text, rstrip=True) for text in ("</s>", "<|user|>", "<|end|>")]


def test_the_flags_of_phi_3_are_recognised() -> None:
    assert strips_as_phi_3([*KEPT, *STRIPPED])


@pytest.mark.parametrize(
    "added",
    [
        pytest.param([], id="nothing is added"),
        pytest.param([*KEPT, AddedToken("</s>")], id="nothing is stripped"),
        pytest.param([*KEPT, *STRIPPED, AddedToken("<pad>")], id="one more keeps its spaces"),
        pytest.param([*KEPT[1:], *STRIPPED, AddedToken("<unk>", rstrip=True)], id="one that keeps its spaces does not"),
        pytest.param([*KEPT[:2], *STRIPPED], id="it would not be loaded"),
    ],
)
def test_other_flags_are_not_those_of_phi_3(added: list[AddedToken]) -> None:
    assert not strips_as_phi_3(added)


@pytest.mark.parametrize(
    ("name", "as_phi_3", "other"),
    [
        ("Phi-3-mini-4k-instruct", "Phi-3-mini-4k-instruct", "Phi 3-mini-4k-instruct"),
        ("Llama-phi3-distill", "Llama-phi3-distill", "Llama-phi 3-distill"),
        ("NuExtract-1.5", "NuExtract-1.5 (phi-3)", "NuExtract-1.5"),
        ("phi-4", "phi-4 (phi-3)", "phi-4"),
    ],
)
def test_the_name_says_phi_3_where_spaces_are_dropped_so(name: str, as_phi_3: str, other: str) -> None:
    assert (name_in_file(name, True), name_in_file(name, False)) == (as_phi_3, other)


def test_flags_that_llama_cpp_ignores_are_named() -> None:
    added = [*KEPT, *STRIPPED, AddedToken("<mask>", lstrip=True), AddedToken("word", single_word=True)]
    assert lost_flags(added, True) == ["<mask>", "word"]
    assert lost_flags(added, False) == ["</s>", "<|user|>", "<|end|>", "<mask>", "word"]
    assert lost_flags(KEPT, False) == []


@pytest.mark.parametrize(
    ("tokens", "words"), [(["<mask>"], "sets some for '<mask>'"), (["<mask>", "a", "b"], "for '<mask>' and 2 more")]
)
def test_the_verdict_names_the_first_token(tokens: list[str], words: str) -> None:
    (caveat,) = caveats_of_flags(tokens)
    assert caveat.text.endswith(words) and caveat.explains == "tokenizer_parity_nfc"
    assert caveats_of_flags([]) == []
