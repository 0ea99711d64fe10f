"""What classes of transformers 4 did by default with a SentencePiece model alone."""

from typing import Any

import pytest

from tasks.source.view.class_defaults import find_class, space_before, with_defaults

PIECES = {"<s>": 1, "</s>": 2, "<bos>": 3}


@pytest.mark.parametrize(
    ("named", "family", "found"),
    [
        ("LlamaTokenizer", "x", "LlamaTokenizer"),
        ("LlamaTokenizerFast", "gemma", "LlamaTokenizer"),
        ("LLaMATokenizer", "x", "LlamaTokenizer"),
        ("CodeLlamaTokenizerFast", "llama", "CodeLlamaTokenizer"),
        ("GemmaTokenizer", "gemma2", "GemmaTokenizer"),
        ("T5Tokenizer", "llama", None),
        ("PreTrainedTokenizerFast", "llama", None),
        (None, "mistral", "LlamaTokenizer"),
        (None, "gemma3_text", "GemmaTokenizer"),
        (None, "xglm", None),
    ],
)
def test_the_class_is_the_named_one_or_that_of_the_family(named: str | None, family: str, found: str | None) -> None:
    own = {} if named is None else {"tokenizer_class": named}
    assert find_class(own, {"model_type": family}) == found
    assert find_class({}, {"model_type": family, **own}) == found


@pytest.mark.parametrize(
    ("config", "name", "added"),
    [
        ({"bos_token": "<s>", "eos_token": "</s>"}, "LlamaTokenizer", {"add_bos_token": True}),
        ({}, "LlamaTokenizer", {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}),
        ({}, "GemmaTokenizer", {"bos_token": "<bos>", "add_bos_token": True}),
        ({"bos_token": {"content": "<s>"}, "eos_token": None}, "CodeLlamaTokenizer", {"add_bos_token": True}),
        ({"bos_token": None, "eos_token": None}, "LlamaTokenizer", {}),
        ({"bos_token": "<none>", "eos_token": "</s>"}, "LlamaTokenizer", {}),
        ({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False}, "LlamaTokenizer", {}),
        ({"bos_token": "<s>"}, None, {}),
    ],
)
def test_bos_stands_before_texts_unless_the_files_say_otherwise(
    config: dict[str, Any], name: str | None, added: dict[str, Any]
) -> None:
    settled, notes = with_defaults(config, name, PIECES)
    assert settled == {**config, **added}
    assert len(notes) == ("add_bos_token" in added)
    assert all(note.startswith("tokenizer_config.json does not say add_bos_token;") for note in notes)


@pytest.mark.parametrize(
    ("config", "name", "space"),
    [
        ({}, "LlamaTokenizer", "always"),
        ({"legacy": True, "add_prefix_space": True}, "LlamaTokenizer", "always"),
        ({"legacy": False}, "LlamaTokenizer", "first"),
        ({"legacy": False, "add_prefix_space": False}, "LlamaTokenizer", "never"),
        ({"legacy": False}, "CodeLlamaTokenizer", "always"),
        ({"legacy": False}, None, "always"),
    ],
)
def test_where_a_space_stands_is_said_by_two_flags(config: dict[str, Any], name: str | None, space: str) -> None:
    assert space_before(config, name) == space
