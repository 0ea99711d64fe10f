"""The calibration text as the tool reads it, and what its statistics say of experts."""

import json
import struct
from collections.abc import Callable, Sequence
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


def made(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    characters: int = 700,
    more: dict[str, int] | None = None,
    run_tool: Callable[..., None],
) -> dict[str, Any]:
    """Make the matrix of a model with a context of 64 tokens on a text of so many characters, with another tool."""
    base, text = folder / "base", folder / "text"
    base.mkdir()
    text.mkdir()
    metadata = {"general.architecture": "a", "a.context_length": 64, **(more or {})}
    write_gguf(base / "tiny-F16.gguf", metadata, {"a.weight": (8, 8), "b.weight": (8, 8)})
    (text / "text.jsonl").write_text(json.dumps({"text": "x" * characters}))
    monkeypatch.setattr(imatrix, "run_tool", run_tool)
    monkeypatch.setattr(imatrix, "llama_cpp", lambda: LlamaCpp("1", "c", "d", folder, folder, folder))
    return imatrix.make_imatrix(make_context(folder / "work", {"gguf-f16": base, "calibration": text}))


@pytest.mark.parametrize(("more", "packed"), [({}, True), ({"a.attention.key_length_mla": 8}, False)])
def test_weights_of_latent_attention_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, int], packed: bool
) -> None:
    asked: list[list[str]] = []

    def run_tool(argv: Sequence[Any], **_: Any) -> None:
        asked.append(list(map(str, argv)))
        if "llama-imatrix" in asked[-1][0]:
            raise ToolFailed("no statistics here.")

    with pytest.raises(ToolFailed, match="no statistics here"):
        made(tmp_path, monkeypatch, more=more, run_tool=run_tool)
    rounding, running = asked
    assert rounding[2:4] == ["model.gguf", "Q8_0"] and running[1:3] == ["-m", "model.gguf"]
    assert ("--no-repack" in running) == (not packed)


def test_a_text_that_is_too_short_is_refused_before_a_tool_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_tool(argv: Sequence[Any], **_: Any) -> None:
        raise ToolFailed("it ran")

    # A line end follows the text, and a BOS token takes no byte.
    (tmp_path / "enough").mkdir()
    with pytest.raises(ToolFailed, match="it ran"):
        made(tmp_path / "enough", monkeypatch, characters=125, run_tool=run_tool)
    with pytest.raises(Unsupported, match="has fewer than 128 tokens, too few for an importance matrix"):
        made(tmp_path, monkeypatch, characters=124, run_tool=run_tool)


def test_a_text_that_the_tool_finds_too_short_is_no_failure_of_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_tool(argv: Sequence[Any], **_: Any) -> None:
        if "llama-imatrix" in str(argv[0]):
            raise ToolFailed("you need at least 128 tokens")

    with pytest.raises(Unsupported, match="has fewer than 128 tokens, too few for an importance matrix"):
        made(tmp_path, monkeypatch, run_tool=run_tool)


def writes(tensors: dict[str, tuple[int, ...]], sums: float) -> Callable[..., None]:
    """Return a tool that writes these tensors, each number with this value."""

    def run_tool(argv: Sequence[Any], **options: Any) -> None:
        if "-o" not in argv:
            return
        options["on_line"]("compute_imatrix: computing over 7 chunks with batch_size 64")
        path = write_gguf(Path(argv[list(argv).index("-o") + 1]), {}, tensors)
        raw = bytearray(path.read_bytes())
        for tensor in read_header(path).tensors:
            raw[tensor.start : tensor.start + tensor.bytes] = struct.pack("<f", sums) * tensor.elements
        path.write_bytes(raw)

    return run_tool


def test_the_facts_of_a_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors: dict[str, tuple[int, ...]] = {"a.weight.in_sum2": (8, 1), "a.weight.counts": (1, 1)}
    facts = made(tmp_path, monkeypatch, run_tool=writes(tensors, sums=2.0))
    file = tmp_path / "work" / "output" / "tiny-imatrix.gguf"
    assert facts == {
        "file": "tiny-imatrix.gguf",
        "size_bytes": file.stat().st_size,
        "matrices": 1,
        "records": 1,
        "chunk_tokens": 64,
        "chunks": 7,
        "unreached_experts": 0,
        "unreached_matrices": ["b.weight"],
    }


def test_a_matrix_without_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolFailed, match="llama-imatrix wrote no statistics; use a longer calibration text"):
        made(tmp_path / "empty", monkeypatch, run_tool=writes({"a.weight.counts": (1, 1)}, sums=2.0))
    with pytest.raises(Unsupported, match=r"'a\.weight' has sums that are NaN, infinite or negative"):
        made(tmp_path, monkeypatch, run_tool=writes({"a.weight.in_sum2": (8, 1)}, sums=float("nan")))
