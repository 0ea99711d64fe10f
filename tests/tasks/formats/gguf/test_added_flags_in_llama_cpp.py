"""llama.cpp drops the spaces beside added tokens as the source does, whatever the repository's name."""

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

from tokenizers import AddedToken, Tokenizer

from tasks.formats.gguf.added_flags import lost_flags, name_in_file, strips_as_phi_3
from tests.fixtures.byte_bpe import train
from tests.tasks.formats.gguf.vocabulary import LlamaVocabulary

pytestmark = pytest.mark.runtime("llama-cpp")

NAMES = ("Phi-3-mini-4k-instruct", "NuExtract-1.5", "Llama-phi3-distill")
PHI_3 = [
    *(AddedToken(text, special=True) for text in ("<s>", "<unk>", "<|endoftext|>")),
    *(AddedToken(text, rstrip=True, special=True) for text in ("</s>", "<|user|>", "<|end|>")),
]
OTHER = [AddedToken(text, special=True) for text in ("<s>", "</s>", "<|user|>", "<|end|>")]


def differing(added: Sequence[AddedToken], path: Path, repository: str, as_phi_3: bool) -> list[str]:
    """Return the texts that the tokenizer and llama.cpp cut differently."""
    tokenizer = with_added(added)
    vocabulary = LlamaVocabulary(tokenizer, "qwen2", path, name_in_file(repository, as_phi_3))
    texts = [f"a{token.content}b {token.content} c {token.content}\n d" for token in added]
    return [text for text in texts if vocabulary.tokenize(text) != tokenizer.encode(text).ids]


def with_added(added: Sequence[AddedToken]) -> Tokenizer:
    tokenizer = train("qwen2", 400)
    tokenizer.add_special_tokens(list(added))
    return tokenizer


@pytest.mark.parametrize("repository", NAMES)
@pytest.mark.parametrize("added", [PHI_3, OTHER], ids=["as Phi-3", "without flags"])
def test_texts_are_cut_as_by_the_source(added: list[AddedToken], repository: str, tmp_path: Path) -> None:
    as_phi_3 = strips_as_phi_3(added)
    assert as_phi_3 is (added is PHI_3)
    assert differing(added, tmp_path / "made.gguf", repository, as_phi_3) == []


def test_the_name_decides(tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing."""
    assert len(differing(PHI_3, tmp_path / "made.gguf", NAMES[0], False)) == 3


@pytest.mark.parametrize("flags", [{"lstrip": True}, {"rstrip": True}, {"single_word": True}], ids=str)
def test_the_flags_that_are_named_as_lost_make_a_difference(flags: dict[str, bool], tmp_path: Path) -> None:
    added = [*OTHER, AddedToken("<mask>", special=True, **flags)]
    (lost,) = lost_flags(added, strips_as_phi_3(added))
    (text,) = differing(added, tmp_path / "made.gguf", "any", False)
    assert lost == "<mask>" and lost in text
