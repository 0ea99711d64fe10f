"""The calibration text as the tool reads it, and what its statistics say of experts."""

import struct
from pathlib import Path

import pytest

from tasks.errors import Corrupt
from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.imatrix import unreached, write_text
from tests.tasks.formats.gguf.writer import write_gguf


def test_texts_are_joined(tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text(
        '{"id": "1", "text": "Möwe"}\n\n{"id": "2", "text": "a\\nb"}\n', encoding="utf-8"
    )
    assert write_text(tmp_path / "text.jsonl", tmp_path / "plain.txt") == 2
    assert (tmp_path / "plain.txt").read_text(encoding="utf-8") == "Möwe\n\na\nb\n"


@pytest.mark.parametrize("content", ["", "\n", "no json\n", '{"id": "1"}\n', '["text"]\n'])
def test_a_file_without_texts_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "text.jsonl").write_text(content)
    with pytest.raises(Corrupt, match=r"text\.jsonl"):
        write_text(tmp_path / "text.jsonl", tmp_path / "plain.txt")


def test_experts_that_no_token_reached_are_counted(tmp_path: Path) -> None:
    counts = {"blk.0.ffn_up_exps.weight.counts": (1, 4), "blk.0.attn_q.weight.counts": (1, 1)}
    path = write_gguf(tmp_path / "imatrix.gguf", {}, {"blk.0.attn_q.weight.in_sum2": (8, 1), **counts})
    header = read_header(path)
    assert unreached(header) == 5
    raw = bytearray(path.read_bytes())
    second_expert = next(tensor for tensor in header.tensors if "exps" in tensor.name).start + 4
    raw[second_expert : second_expert + 4] = struct.pack("<f", 3.0)
    path.write_bytes(raw)
    assert unreached(read_header(path)) == 4
