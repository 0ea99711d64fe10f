"""Which llama.cpp pre-tokenizer a tokenizer.json is mapped to, and why none."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.formats.gguf.pretokenizer import (
    GPT2,
    KNOWN,
    LLAMA3,
    QWEN2,
    Candidate,
    caveats_of_hash,
    find_candidate,
    is_byte_level,
    match,
)
from tests.fixtures.byte_bpe import train

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def tokenizer(*steps: dict[str, Any], **model: Any) -> dict[str, Any]:
    pre_tokenizer = {"type": "Sequence", "pretokenizers": list(steps)}
    return {"model": {"type": "BPE", "vocab": {}, "merges": [], **model}, "pre_tokenizer": pre_tokenizer}


@pytest.mark.parametrize("name", sorted(KNOWN.values()))
def test_a_trained_tokenizer_is_matched(name: str) -> None:
    assert match(json.loads(train(name, 300).to_str())).name == name


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}], "gpt-2"),
        ([{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}], "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}], "smollm"),
        ([split(GPT2), BYTE_LEVEL], "gpt-2"),
        ([split(QWEN2, "Removed", True), BYTE_LEVEL], "qwen2"),
    ],
)
def test_other_ways_to_say_the_same(steps: list[dict[str, Any]], name: str) -> None:
    assert match(tokenizer(*steps)).name == name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (tokenizer(split(r"[^e]+|e"), BYTE_LEVEL), r"\[\^e\]\+\|e"),
        (tokenizer(split(QWEN2.replace("{L}", "{Lu}")), BYTE_LEVEL), "is not one of llama.cpp's"),
        (tokenizer(split(QWEN2, "MergedWithPrevious"), BYTE_LEVEL), "MergedWithPrevious"),
        (tokenizer(split(r"\p{N}", "Removed", True), split(GPT2), BYTE_LEVEL), "has the step"),
        (tokenizer(split(QWEN2), BYTE_LEVEL, {"type": "Digits"}), "has a step after ByteLevel: 'Digits'"),
        (tokenizer({"type": "ByteLevel", "add_prefix_space": True}), "add_prefix_space"),
        (tokenizer(split(QWEN2), BYTE_LEVEL, end_of_word_suffix="</w>"), "end_of_word_suffix"),
        ({**tokenizer(split(QWEN2), BYTE_LEVEL), "normalizer": {"type": "Lowercase"}}, "Lowercase"),
        (
            {
                **tokenizer(split(QWEN2), BYTE_LEVEL),
                "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]},
            },
            "it normalizes text by 'NFKC'",
        ),
    ],
)
def test_no_match_names_the_reason(given: dict[str, Any], says: str) -> None:
    candidate = match(given)
    assert candidate.name is None
    assert re.search(says, candidate.reason), candidate.reason


@pytest.mark.parametrize("normalizer", [{"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}])
def test_a_normalization_that_llama_cpp_leaves_out_changes_no_pattern(normalizer: dict[str, Any]) -> None:
    assert match({**tokenizer(split(QWEN2), BYTE_LEVEL), "normalizer": normalizer}).name == "qwen2"


def test_a_pre_tokenizer_that_a_hash_chose_has_a_caveat() -> None:
    (said,) = caveats_of_hash(match(tokenizer(split("o200k"), BYTE_LEVEL)), "gpt-4o")
    assert said.text.endswith("by the hash of one text: its pattern 'o200k' is not one of llama.cpp's")
    assert caveats_of_hash(Candidate("qwen2"), "qwen2") == []


def test_a_sequence_without_normalizers_normalizes_nothing() -> None:
    """As in the tokenizer of DeepSeek-V3."""
    empty = {"type": "Sequence", "normalizers": []}
    assert match({**tokenizer(split(QWEN2), BYTE_LEVEL), "normalizer": empty}) == Candidate("qwen2")


def test_whole_words_matter_only_where_merges_do_not_make_them() -> None:
    merged = {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "ignore_merges": True}
    stray = {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [], "ignore_merges": True}
    assert match(tokenizer(split(QWEN2), BYTE_LEVEL, **merged)).name == "qwen2"
    assert "ignore_merges" in match(tokenizer(split(QWEN2), BYTE_LEVEL, **stray)).reason
    assert match(tokenizer(split(LLAMA3), BYTE_LEVEL, **stray)).name == "llama-bpe"


def test_only_bytes_have_a_pre_tokenizer() -> None:
    assert is_byte_level(tokenizer(split(QWEN2), BYTE_LEVEL))
    assert not is_byte_level({"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Metaspace"}})
    assert not is_byte_level({"model": {"type": "Unigram"}, "pre_tokenizer": BYTE_LEVEL})
    assert not is_byte_level({"model": {"type": "BPE"}, "pre_tokenizer": None})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": [], "pre_tokenizer": BYTE_LEVEL}, r"its model is \[\], not an object"),
        ({**tokenizer(split(QWEN2), BYTE_LEVEL), "normalizer": "NFC"}, "its normalizer is 'NFC', not an object"),
        (tokenizer({"type": "Split", "pattern": "x"}, BYTE_LEVEL), "its pattern is 'x', not an object"),
        (
            tokenizer(split(QWEN2), BYTE_LEVEL, ignore_merges=True, merges=["a b"]),
            "a merge gives 'ab', which is not in the vocabulary",
        ),
        (tokenizer(split(QWEN2), BYTE_LEVEL, ignore_merges=True, merges=[["a"]]), "are not a valid BPE"),
    ],
)
def test_what_the_library_would_not_have_written_is_refused(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(given))
    with pytest.raises(Corrupt, match=f"^tokenizer.json: .*{says}.*; ask its publisher to fix it.$"):
        find_candidate(tmp_path)


def test_a_reason_is_never_too_long_for_an_argument() -> None:
    reason = match(tokenizer(split("x" * 200_000), BYTE_LEVEL)).reason
    assert "its pattern 'xxx" in reason and len(reason) < 1000
