"""Reads which steps of a tokenizer change the characters of a text before it is cut.

They are the normalizers of tokenizer.json, or the rule of a SentencePiece model that has no such file beside it.
"""

from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import SENTENCEPIECE
from tasks.checkpoint.snapshot import Snapshot

FILE = "tokenizer.json"

PRECOMPILED, REPLACE = "Precompiled", "Replace"
CHANGES = ("NFC", "NFD", "NFKC", "NFKD", "Nmt", PRECOMPILED, "Lowercase", "StripAccents", "BertNormalizer", "Strip")
"""Normalizers of tokenizer.json that change characters. The others only mark spaces and bytes, except for REPLACE."""

SPACE_MARK = "\u2581"
"""Stands for a space within a token of SentencePiece, whose tokenizers cannot tell it from a space in a text."""

SPACES = "remove_extra_whitespaces"
"""The field of a SentencePiece model that says that spaces in a row are one space."""


def read_normalization(folder: Path) -> tuple[str, ...]:
    """Return the names of the steps, each once. A rule of a SentencePiece model has the name that the model gives it.

    folder: the view of a source, whose SentencePiece model can be read.
    """
    content = Snapshot(folder).json(FILE)
    model = next((folder / name for name in SENTENCEPIECE if (folder / name).is_file()), None)
    named = _named_by_model(model) if model else []
    if content is None:
        return tuple(named)
    names = _changes(content.get("normalizer"))
    if named and named[0] != SPACES:
        names = [named[0] if name == PRECOMPILED else name for name in names]
    return tuple(dict.fromkeys(names))


def without_changes(step: Any) -> Any:
    """Return a normalizer of tokenizer.json without the steps that change characters; None if none is left."""
    if not isinstance(step, dict) or _changes_characters(step):
        return None
    if not isinstance(inner := step.get("normalizers"), list):
        return step
    return {**step, "normalizers": [kept for one in inner if (kept := without_changes(one)) is not None]}


def _changes(step: Any) -> list[str]:
    """Return the names of the normalizers, at any depth, that change characters."""
    if isinstance(step, list):
        return [name for inner in step for name in _changes(inner)]
    if not isinstance(step, dict):
        return []
    return ([step["type"]] if _changes_characters(step) else []) + _changes(step.get("normalizers"))


def _changes_characters(step: dict[str, Any]) -> bool:
    marks_spaces = step.get("pattern") == {"String": " "} and step.get("content") == SPACE_MARK
    return step.get("type") in CHANGES or (step.get("type") == REPLACE and not marks_spaces)


def _named_by_model(path: Path) -> list[str]:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    spec = model.normalizer_spec
    rule = [spec.name or PRECOMPILED] if spec.precompiled_charsmap else []
    return rule + ([SPACES] if spec.remove_extra_whitespaces else [])
