"""Finds the llama.cpp pre-tokenizer that splits text by exactly the same patterns as a byte-level BPE tokenizer.

A GGUF file names its pre-tokenizer, for example "qwen2". llama.cpp's converter finds the name by a hash of the token
ids of one fixed text. This fails for a newly trained tokenizer: its ids are unknown, even if it splits text by
well-known patterns. So this module compares the patterns themselves.

KNOWN lists only names whose patterns in llama.cpp (src/llama-vocab.cpp) are equal to the tokenizer's. It leaves out
gpt-4o and tekken: llama.cpp only approximates them, because it ignores upper and lower case beyond ASCII.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers.models import BPE

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt
from tasks.evaluation.caveats import Caveat

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
DIGIT, DIGITS, THREE_DIGITS = r"\p{N}", r"\p{N}+", r"\p{N}{1,3}"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = f"{CONTRACTIONS}|{WORD}|{THREE_DIGITS}|{PUNCTUATION}|{LINES_AND_SPACES}"
QWEN2 = f"{CONTRACTIONS}|{WORD}|{DIGIT}|{PUNCTUATION}|{LINES_AND_SPACES}"
MARKED_WORDS = (
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|{DIGIT}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{LINES_AND_SPACES}"
)
SHORT_PUNCTUATION = rf"{CONTRACTIONS}|{WORD}|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{LINES_AND_SPACES}"
HALVED_SPACES = (
    f"{CONTRACTIONS}|{WORD}|{THREE_DIGITS}|{PUNCTUATION}|\\s*[\\r\\n]+|"
    + "|".join(rf"\s{{{count}}}(?!\S)" for count in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))
    + r"|\s{1}"
)
CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
MARKED_PUNCTUATION = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
NO_CONTRACTIONS = f"{WORD}|{DIGIT}|{PUNCTUATION}|{LINES_AND_SPACES}"
DIGIT_RUNS = f"{CONTRACTIONS}|{WORD}|{DIGITS}|{PUNCTUATION}|{LINES_AND_SPACES}"


PARITY = "tokenizer_parity_nfc"
"""The metric that shows whether a pre-tokenizer is right."""

LONGEST_SHOWN = 400
"""Characters of a field that a reason quotes. The reason becomes an argument of the script hf_to_gguf.py."""


@dataclass(frozen=True)
class Candidate:
    """The result of comparing the patterns.

    name: the llama.cpp pre-tokenizer with equal patterns, or None.
    reason: the reason if there is none; a clause without a full stop.
    """

    name: str | None
    reason: str = ""


KNOWN: Mapping[tuple[tuple[str, ...], bool], str] = {
    ((GPT2,), False): "gpt-2",
    ((DIGIT, GPT2), False): "smollm",
    ((LLAMA3,), True): "llama-bpe",
    ((LLAMA3,), False): "smaug-bpe",
    ((QWEN2,), False): "qwen2",
    ((MARKED_WORDS,), False): "qwen35",
    ((NO_CONTRACTIONS,), False): "ufakzeka",
    ((SHORT_PUNCTUATION,), False): "seed-coder",
    ((HALVED_SPACES,), False): "jais-2",
    ((THREE_DIGITS, CJK, MARKED_PUNCTUATION), False): "deepseek-v3",
    ((THREE_DIGITS, DIGIT_RUNS), True): "minicpm5",
}
"""Names by (patterns, applied one after the other; `ignore_merges`: whether a word of the vocabulary is not merged)."""


def find_candidate(folder: Path) -> Candidate | None:
    """Return the candidate for a folder's tokenizer.json, or None if the folder has no byte-level BPE tokenizer.

    Raises Corrupt if a field does not have the type that the tokenizers library writes.
    """
    tokenizer = Snapshot(folder).json("tokenizer.json") or {}
    return match(tokenizer) if is_byte_level(tokenizer) else None


def caveats_of_hash(candidate: Candidate, name: str) -> list[Caveat]:
    """Return a caveat on a pre-tokenizer that the converter chose although its patterns are not known to be equal."""
    if candidate.name:
        return []
    text = f"llama.cpp's converter chose the pre-tokenizer {name!r} by the hash of one text: {candidate.reason}"
    return [Caveat(text=text, explains=PARITY)]


def is_byte_level(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a parsed tokenizer.json is a byte-level BPE, the only kind that has a pre-tokenizer in llama.cpp."""
    steps = _steps(tokenizer)
    return _object(tokenizer, "model").get("type") == "BPE" and any(step.get("type") == "ByteLevel" for step in steps)


def match(tokenizer: Mapping[str, Any]) -> Candidate:
    """Return the candidate for a parsed tokenizer.json."""
    model = _object(tokenizer, "model")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(option):
            return Candidate(None, f"its BPE has {option} = {_shown(model[option])}")
    normalizers = [step.get("type") for step in _steps(tokenizer, "normalizer", "normalizers")]
    if other := next((kind for kind in normalizers if kind != "NFC"), None):
        return Candidate(None, f"it normalizes text by {_shown(other)}")
    patterns, fault = _patterns(_steps(tokenizer))
    if fault:
        return Candidate(None, fault)
    whole_words = bool(model.get("ignore_merges"))
    name = KNOWN.get((patterns, whole_words))
    other = KNOWN.get((patterns, not whole_words))
    if name is None and other is not None and _merges_make_every_word(tokenizer):
        name = other
    if name is None:
        suffix = f" with ignore_merges = {whole_words}" if other else ""
        return Candidate(None, f"its pattern {_shown(' then '.join(patterns))}{suffix} is not one of llama.cpp's")
    return Candidate(name)


def _merges_make_every_word(tokenizer: Mapping[str, Any]) -> bool:
    """Whether merging turns each word of the vocabulary into one token, so that `ignore_merges` makes no difference."""
    try:
        vocabulary, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
        pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
        if unknown := [left + right for left, right in pairs if left + right not in vocabulary]:
            # The library would panic here, and a panic is not an Exception.
            raise ValueError(f"a merge gives {unknown[0]!r}, which is not in the vocabulary")
        merging = BPE(vocab=vocabulary, merges=[(left, right) for left, right in pairs], ignore_merges=False)
        added = {token["content"] for token in tokenizer.get("added_tokens") or ()}
        return all(len(merging.tokenize(word)) == 1 for word in vocabulary if word not in added)
    except Exception as error:
        # The library raises plain Exceptions.
        why = f"{type(error).__name__}: {_shown(str(error))}"
        raise _wrong(f"its vocabulary, merges and added tokens are not a valid BPE ({why})") from error


def _steps(
    holder: Mapping[str, Any], field: str = "pre_tokenizer", inner: str = "pretokenizers"
) -> Sequence[Mapping[str, Any]]:
    """Return the steps in a field of `holder`, nested ones flattened; their steps are in their field `inner`."""
    step = _object(holder, field)
    if step.get("type") == "Sequence":
        steps = step.get(inner) or []
        if not isinstance(steps, list):
            raise _wrong(f"its {inner} are {_shown(steps)}, not a list")
        return [found for each in steps for found in _steps({field: each}, field, inner)]
    return [step] if step else []


def _patterns(steps: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], str]:
    """Return the regular expressions of the steps, and "" or a clause about the first step that is not supported."""
    patterns: list[str] = []
    for position, step in enumerate(steps):
        kind = step.get("type")
        if kind == "ByteLevel":
            if step.get("add_prefix_space"):
                return (), "it adds a space before the text (add_prefix_space)"
            if position != len(steps) - 1:
                return (), f"its pre-tokenizer has a step after ByteLevel: {_shown(steps[position + 1].get('type'))}"
            # Old files do not have this field; their pattern is applied.
            patterns += [GPT2] if step.get("use_regex", True) else []
        elif kind == "Digits":
            patterns.append(DIGIT if step.get("individual_digits") else DIGITS)
        elif kind == "Split" and _keeps_everything(step):
            patterns.append(step["pattern"]["Regex"])
        else:
            return (), f"its pre-tokenizer has the step {_shown(dict(step))}"
    return tuple(patterns), ""


def _keeps_everything(step: Mapping[str, Any]) -> bool:
    """Whether a Split step isolates each match and drops no text. "Removed" with "invert" drops the text between."""
    pattern = _object(step, "pattern").get("Regex")
    isolated = step.get("behavior") == "Isolated" and not step.get("invert")
    inverted = step.get("behavior") == "Removed" and bool(step.get("invert"))
    return isinstance(pattern, str) and (isolated or (inverted and pattern.endswith(r"|\s+")))


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object in a field, empty if the field is missing. Raises Corrupt for any other type."""
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(f"its {name} is {_shown(value)}, not an object")
    return value or {}


def _wrong(what: str) -> Corrupt:
    return Corrupt(f"tokenizer.json: {what}; ask its publisher to fix it.")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
