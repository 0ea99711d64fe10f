"""The calibration text as the tool reads it."""

from pathlib import Path

import pytest

from tasks.errors import Corrupt
from tasks.formats.gguf.imatrix import write_text


def test_texts_are_joined(tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text(
        '{"id": "1", "text": "Möwe"}\n\n{"id": "2", "text": "a\\nb"}\n', encoding="utf-8"
    )
    assert write_text(tmp_path / "text.jsonl", tmp_path / "plain.txt") == 2
    assert (tmp_path / "plain.txt").read_text(encoding="utf-8") == "Möwe\n\na\nb\n"


@pytest.mark.parametrize("content", ["", "\n", "no json\n", '{"id": "1"}\n', '["text"]\n'])
def test_a_file_without_texts_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "text.jsonl").write_text(content)
    with pytest.raises(Corrupt, match=r"text\.jsonl"):
        write_text(tmp_path / "text.jsonl", tmp_path / "plain.txt")
