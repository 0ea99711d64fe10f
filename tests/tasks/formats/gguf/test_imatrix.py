"""The calibration text as the tool reads it, and what its statistics say of experts."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.engines.llama_cpp.build import LlamaCpp
from tasks.errors import Corrupt, ToolFailed, Unsupported
from tasks.formats.gguf import imatrix
from tasks.formats.gguf.header import Header, read_header
from tasks.formats.gguf.imatrix import caveats, check_sums, unreached, unreached_matrices, write_text
from tests.fixtures.context import make_context
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


def with_sums(folder: Path, sums: list[float], counts: float = 4.0) -> Header:
    """Return an importance matrix of one tensor with these sums."""
    name = "blk.0.attn_q.weight"
    path = write_gguf(folder / "imatrix.gguf", {}, {f"{name}.in_sum2": (len(sums), 1), f"{name}.counts": (1, 1)})
    raw = bytearray(path.read_bytes())
    for tensor, values in zip(read_header(path).tensors, (sums, [counts]), strict=True):
        raw[tensor.start : tensor.start + tensor.bytes] = struct.pack(f"<{len(values)}f", *values)
    path.write_bytes(raw)
    return read_header(path)


@pytest.mark.parametrize(
    ("sums", "fault"),
    [
        ([1.0, float("nan")], "NaN, infinite or negative"),
        ([float("inf"), 1.0], "NaN, infinite or negative"),
        ([1.0, -1.0], "NaN, infinite or negative"),
        ([0.0, 0.0], "only sums of 0, although tokens reached it"),
    ],
)
def test_sums_that_weigh_nothing_are_refused(tmp_path: Path, sums: list[float], fault: str) -> None:
    with pytest.raises(Unsupported, match=rf"imatrix\.gguf: 'blk\.0\.attn_q\.weight' has .*{fault}.*'imatrix: false'"):
        check_sums(with_sums(tmp_path, sums))


@pytest.mark.parametrize(("sums", "counts"), [([1.0, 0.0], 4.0), ([0.0, 0.0], 0.0)])
def test_a_dead_column_and_an_expert_that_was_not_reached_are_no_fault(
    tmp_path: Path, sums: list[float], counts: float
) -> None:
    check_sums(with_sums(tmp_path, sums, counts))


def test_matrices_without_sums_are_named(tmp_path: Path) -> None:
    shapes = dict.fromkeys(("token_embd.weight", "output.weight", "a.weight", "b.weight"), (32, 4))
    base = read_header(write_gguf(tmp_path / "base.gguf", {}, {**shapes, "a_norm.weight": (32,)}))
    found = read_header(write_gguf(tmp_path / "imatrix.gguf", {}, {"a.weight.in_sum2": (32, 1)}))
    assert unreached_matrices(base, found) == ["b.weight"]


def test_what_is_not_covered_is_said_in_sentences() -> None:
    assert caveats({"unreached_experts": 0, "unreached_matrices": []}) == caveats({}) == []
    experts, matrices = caveats({"unreached_experts": 7, "unreached_matrices": ["b.weight", "c.weight"]})
    assert "never reached 7 of the experts' matrices" in experts and "2 matrices, the first 'b.weight'" in matrices


@pytest.mark.parametrize(("more", "packed"), [({}, True), ({"a.attention.key_length_mla": 8}, False)])
def test_weights_of_latent_attention_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, int], packed: bool
) -> None:
    asked: list[list[str]] = []

    def run_tool(argv: Sequence[Any], **_: Any) -> None:
        asked.append(list(map(str, argv)))
        if "llama-imatrix" in asked[-1][0]:
            raise ToolFailed("no statistics here.")

    base, text = tmp_path / "base", tmp_path / "text"
    base.mkdir()
    text.mkdir()
    write_gguf(base / "tiny-F16.gguf", {"general.architecture": "a", "a.context_length": 64, **more}, {"x": (8, 8)})
    (text / "text.jsonl").write_text('{"text": "' + "Once upon a time. " * 40 + '"}')
    built = LlamaCpp("1", "c", "d", tmp_path, tmp_path, tmp_path)
    monkeypatch.setattr(imatrix, "run_tool", run_tool)
    monkeypatch.setattr(imatrix, "llama_cpp", lambda: built)
    with pytest.raises(ToolFailed):
        imatrix.make_imatrix(make_context(tmp_path / "work", {"gguf-f16": base, "calibration": text}))
    rounding, running = asked
    assert rounding[2:4] == ["model.gguf", "Q8_0"] and running[1:3] == ["-m", "model.gguf"]
    assert ("--no-repack" in running) == (not packed)
