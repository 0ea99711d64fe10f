"""The steps of a tokenizer.json that change characters are named; those that mark spaces and bytes are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.checkpoint.normalization import read_normalization, without_changes

NFC, LOWERCASE = {"type": "NFC"}, {"type": "Lowercase"}
PREPEND = {"type": "Prepend", "prepend": "\u2581"}
MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
QUOTES = {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


@pytest.mark.parametrize(
    ("normalizer", "names", "rest"),
    [
        (None, (), None),
        (NFC, ("NFC",), None),
        (PREPEND, (), PREPEND),
        (MARKS, (), MARKS),
        (QUOTES, ("Replace",), None),
        (sequence(PREPEND, MARKS), (), sequence(PREPEND, MARKS)),
        (sequence(NFC, sequence(PREPEND, LOWERCASE), NFC), ("NFC", "Lowercase"), sequence(sequence(PREPEND))),
        ({"type": "Precompiled", "precompiled_charsmap": ""}, ("Precompiled",), None),
        (["no step"], (), None),
    ],
)
def test_the_steps_that_change_characters_are_named_and_left_out(
    tmp_path: Path, normalizer: Any, names: tuple[str, ...], rest: Any
) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": normalizer}))
    assert read_normalization(tmp_path) == names
    assert without_changes(normalizer) == rest


def test_without_a_tokenizer_there_is_none(tmp_path: Path) -> None:
    assert read_normalization(tmp_path) == ()
