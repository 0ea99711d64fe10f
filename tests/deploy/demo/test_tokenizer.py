"""The committed tokenizer gives its text back, starts with the first token, and cuts where an answer begins."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from deploy.demo.corpus.generate import take
from deploy.demo.corpus.splits import Split

FOLDER = Path(__file__).parents[3] / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def test_text_comes_back(tokenizer: Tokenizer) -> None:
    for text in (
        "Où est la théière ?",
        "Ελένη 12 + 7\n\n",
        "花は赤です。",
        "a\tb   c 🎻",
        "<|im_start|>user\nHi<|im_end|>\n",
    ):
        ids = tokenizer.encode(text).ids
        assert ids[0] == tokenizer.token_to_id("<|startoftext|>")
        assert tokenizer.decode(ids[1:], skip_special_tokens=False) == text


def test_digits_and_chat_marks_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("123").tokens[1:] == ["1", "2", "3"]
    assert tokenizer.encode("<|im_end|>").tokens[1:] == ["<|im_end|>"]


def test_a_prompt_is_a_prefix_of_its_text_in_tokens_too(tokenizer: Tokenizer) -> None:
    for document in (d for d in take(Split.EVALUATION, 400) if d.answer):
        prompt = tokenizer.encode(document.prompt).ids
        assert tokenizer.encode(document.text).ids[: len(prompt)] == prompt, document.id
