"""Finds the kind of a snapshot's tokenizer, which decides which engines can serve the model."""

from collections.abc import Mapping
from typing import Any, Literal

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.checkpoint.snapshot import Snapshot

Kind = Literal["bpe", "byte-bpe", "unigram", "wordpiece", "wordlevel", "sentencepiece", "none"]


def tokenizer_kind(snapshot: Snapshot) -> Kind:
    """Return the kind, from tokenizer.json where there is one, otherwise from the files of older tokenizers."""
    content = snapshot.json("tokenizer.json")
    if content is not None:
        return _kind_of(content)
    if any((snapshot.folder / name).is_file() for name in SENTENCEPIECE):
        return "sentencepiece"
    if (snapshot.folder / "vocab.json").is_file() and (snapshot.folder / "merges.txt").is_file():
        return "byte-bpe"
    return "wordpiece" if (snapshot.folder / "vocab.txt").is_file() else "none"


def _kind_of(content: dict[str, Any]) -> Kind:
    model = content.get("model")
    name = algorithm(model) if isinstance(model, dict) else None
    if name == "Unigram":
        return "unigram"
    if name == "WordPiece":
        return "wordpiece"
    if name == "WordLevel":
        return "wordlevel"
    if name == "BPE":
        return "byte-bpe" if _uses_bytes(content.get("pre_tokenizer")) else "bpe"
    return "none"


def algorithm(model: Mapping[str, Any]) -> Any:
    """Return the `type` of the field `model` of a tokenizer.json; None if it is not known.

    Older files, such as GPT-2's, do not name it. The library tokenizers finds it by the other fields then.
    """
    if "type" in model:
        return model["type"]
    if "merges" in model:
        return "BPE"
    if "max_input_chars_per_word" in model:
        return "WordPiece"
    return "Unigram" if isinstance(model.get("vocab"), list) else None


def _uses_bytes(step: Any) -> bool:
    """Whether ByteLevel is among the pre-tokenizer's steps, at any depth."""
    if isinstance(step, dict):
        return step.get("type") == "ByteLevel" or any(map(_uses_bytes, step.values()))
    return isinstance(step, list) and any(map(_uses_bytes, step))
