"""Matrices that fall back to another type than the one asked for, and a quantizer that did not quantize."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.errors import Corrupt, Unsupported
from tasks.formats.gguf.header import Header, TensorInfo, read_header
from tasks.formats.gguf.quantizations import QUANTIZATIONS
from tasks.formats.gguf.quantize import check_same_tensors, find_fallbacks, quantize
from tasks.formats.gguf.tensor_types import TENSOR_TYPES
from tasks.formats.registry import parse_target
from tasks.settings import REPOSITORY
from tests.fixtures.context import make_context
from tests.tasks.formats.gguf.writer import write_gguf

BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}


def header(*tensors: tuple[str, tuple[int, ...], str]) -> Header:
    infos = tuple(TensorInfo(name, dimensions, BY_NAME[kind], 0) for name, dimensions, kind in tensors)
    return Header(Path("made.gguf"), 3, {}, infos, 0)


def test_odd_rows_are_reported() -> None:
    made = header(
        ("token_embd.weight", (896, 10), "q8_0"),
        ("blk.0.attn_norm.weight", (896,), "f32"),
        ("blk.0.attn_k.weight", (896, 10), "q5_0"),
        ("blk.0.ffn_down.weight", (4864, 10), "q6_k"),
        ("blk.0.ffn_odd.weight", (100, 10), "f16"),
    )
    facts = find_fallbacks(made, parse_target("gguf-q4_k_m"))
    assert facts == {
        "count": 3,
        "of": 4,
        "types": {"f16": 1, "q5_0": 1, "q8_0": 1},
        "share": round((896 + 896 + 100) / (896 + 896 + 4864 + 100), 4),
        "tensors": ["token_embd.weight: q8_0", "blk.0.attn_k.weight: q5_0", "blk.0.ffn_odd.weight: f16"],
    }


def test_a_type_of_small_blocks_has_no_fallback() -> None:
    made = header(("token_embd.weight", (896, 10), "q8_0"), ("blk.0.attn_k.weight", (896, 10), "q8_0"))
    assert find_fallbacks(made, parse_target("gguf-q8_0"))["count"] == 0


def test_a_mixture_is_meant() -> None:
    made = header(("token_embd.weight", (256, 10), "q6_k"), ("blk.0.attn_k.weight", (256, 10), "q4_k"))
    assert find_fallbacks(made, parse_target("gguf-q4_k_m"))["count"] == 0


def test_a_name_that_nothing_in_the_file_deserves_is_refused() -> None:
    made = header(("token_embd.weight", (64, 10), "q8_0"), ("blk.0.attn_k.weight", (64, 10), "q5_0"))
    with pytest.raises(Unsupported, match="q5_0, q8_0"):
        find_fallbacks(made, parse_target("gguf-q4_k_m"))


@pytest.mark.parametrize("made", [header(("a", (32,), "q8_0")), header(("a", (32, 2), "q8_0"), ("b", (64,), "f32"))])
def test_a_lost_or_bent_tensor_is_reported(made: Header) -> None:
    base = header(("a", (32, 2), "f16"), ("b", (32,), "f32"))
    with pytest.raises(Corrupt, match="differs from"):
        check_same_tensors(base, made)


def test_trailing_ones_are_no_difference() -> None:
    """The tools of llama.cpp drop them: a gate of shared experts is [256, 1] in F16 and [256] in a quantized file."""
    base = header(("blk.0.ffn_gate_inp_shexp.weight", (256, 1), "f16"))
    check_same_tensors(base, header(("blk.0.ffn_gate_inp_shexp.weight", (256,), "f16")))


TENSORS = {"token_embd.weight": (256, 300), "output_norm.weight": (256,), "blk.0.attn_q.weight": (256, 256)}
METADATA = {"general.architecture": "llama", "llama.context_length": 256}
IN_F16 = {name: "f16" for name in TENSORS if "norm" not in name}


def copies(base: Path, output: Path) -> None:
    shutil.copy(base, output)


def copies_and_lies(base: Path, output: Path) -> None:
    write_gguf(output, {**METADATA, "general.file_type": 15}, TENSORS, IN_F16)


def leaves_one_matrix(base: Path, output: Path) -> None:
    types = {"token_embd.weight": "q6_k", "blk.0.attn_q.weight": "f16"}
    write_gguf(output, {**METADATA, "general.file_type": 15}, TENSORS, types)


def takes_another_type(base: Path, output: Path) -> None:
    types = {"token_embd.weight": "q6_k", "blk.0.attn_q.weight": "q8_0"}
    write_gguf(output, {**METADATA, "general.file_type": 15}, TENSORS, types)


SOUND = {"token_embd.weight": "q6_k", "blk.0.attn_q.weight": "q4_k"}


def loses_a_tensor(base: Path, output: Path) -> None:
    kept = {name: shape for name, shape in TENSORS.items() if "norm" not in name}
    write_gguf(output, {**METADATA, "general.file_type": 15}, kept, SOUND)


def overflows(base: Path, output: Path) -> None:
    write_gguf(output, {**METADATA, "general.file_type": 15}, TENSORS, SOUND)
    raw = bytearray(output.read_bytes())
    start = next(tensor.start for tensor in read_header(output).tensors if tensor.name == "blk.0.attn_q.weight")
    raw[start : start + 2] = b"\x00\x7c"
    output.write_bytes(raw)


def writes_nothing(base: Path, output: Path) -> None:
    pass


def writes_an_empty_file(base: Path, output: Path) -> None:
    output.touch()


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (copies, r"tiny-Q4_K_M\.gguf declares the file type 1, but q4_k_m is 15"),
        (copies_and_lies, r"declares the type q4_k_m, but tensor 'token_embd\.weight' is stored in f16"),
        (leaves_one_matrix, r"declares the type q4_k_m, but tensor 'blk\.0\.attn_q\.weight' is stored in f16"),
        (takes_another_type, r"declares the type q4_k_m, but tensor 'blk\.0\.attn_q\.weight' is stored in q8_0"),
        (loses_a_tensor, r"tiny-Q4_K_M\.gguf: tensor 'output_norm\.weight' differs from tiny-F16\.gguf"),
        (overflows, r"tiny-Q4_K_M\.gguf: tensor 'blk\.0\.attn_q\.weight' has scales that are NaN or infinite"),
        (writes_nothing, r"tiny-Q4_K_M\.gguf is empty or missing"),
        (writes_an_empty_file, r"tiny-Q4_K_M\.gguf is empty or missing"),
    ],
)
def test_a_quantizer_that_did_not_quantize_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[Path, Path], None], said: str
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    write_gguf(base / "tiny-F16.gguf", {**METADATA, "general.file_type": 1}, TENSORS, IN_F16)

    def exits_with_success(command: Sequence[str | Path], **_: object) -> None:
        tool(base / "tiny-F16.gguf", Path(command[2]))

    monkeypatch.setattr("tasks.formats.gguf.quantize.run_tool", exits_with_success)
    monkeypatch.setattr("tasks.formats.gguf.quantize.llama_cpp", lambda: SimpleNamespace(bin=tmp_path))
    with pytest.raises(Corrupt, match=said):
        quantize(parse_target("gguf-q4_k_m", {"imatrix": False}), make_context(tmp_path / "task", {"gguf-f16": base}))


@pytest.mark.parametrize("with_imatrix", [True, False])
def test_a_matrix_is_used_and_what_it_does_not_cover_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_imatrix: bool
) -> None:
    folders = {name: tmp_path / name for name in ("gguf-f16", "gguf-imatrix")}
    for name, folder in folders.items():
        folder.mkdir()
        write_gguf(folder / f"{name}.gguf", {**METADATA, "general.file_type": 1}, TENSORS, IN_F16)
    commands = []

    def quantizes(command: Sequence[str | Path], cwd: Path, **_: object) -> None:
        commands.append([str(part) for part in command])
        assert (cwd / "model.gguf").samefile(folders["gguf-f16"] / "gguf-f16.gguf")
        assert not with_imatrix or (cwd / "imatrix.gguf").samefile(folders["gguf-imatrix"] / "gguf-imatrix.gguf")
        output = next(part for part in command if str(part).endswith("-Q4_K_M.gguf"))
        write_gguf(Path(output), {**METADATA, "general.file_type": 15}, TENSORS, SOUND)

    monkeypatch.setattr("tasks.formats.gguf.quantize.run_tool", quantizes)
    monkeypatch.setattr("tasks.formats.gguf.quantize.llama_cpp", lambda: SimpleNamespace(bin=tmp_path))
    facts: dict[str, dict[str, Any]] = {
        "gguf-f16": {"caveats": ["of the base"]},
        "gguf-imatrix": {"unreached_experts": 3},
    }
    target = parse_target("gguf-q4_k_m", {"imatrix": with_imatrix})
    found = quantize(target, make_context(tmp_path / "task", folders, facts))
    ((_, *arguments),) = commands
    assert (arguments[:2] == ["--imatrix", "imatrix.gguf"]) == with_imatrix == found["imatrix"]
    base, *matrix = found["caveats"]
    assert base == "of the base" and len(matrix) == with_imatrix
    assert found["fallbacks"]["count"] == 0 and found["fallbacks"]["of"] == 2


@pytest.mark.parametrize("scheme", QUANTIZATIONS)
def test_no_type_is_made_by_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    write_gguf(base / "tiny-F16.gguf", {**METADATA, "general.file_type": 1}, TENSORS, IN_F16)

    def copy(command: Sequence[str | Path], **_: object) -> None:
        write_gguf(
            Path(command[2]), {**METADATA, "general.file_type": QUANTIZATIONS[scheme].file_type}, TENSORS, IN_F16
        )

    monkeypatch.setattr("tasks.formats.gguf.quantize.run_tool", copy)
    monkeypatch.setattr("tasks.formats.gguf.quantize.llama_cpp", lambda: SimpleNamespace(bin=tmp_path))
    target = parse_target(f"gguf-{scheme}").model_copy(update={"requires": ("gguf-f16",)})
    with pytest.raises(Corrupt, match=f"declares the type {scheme}, but"):
        quantize(target, make_context(tmp_path / "task", {"gguf-f16": base}))


def test_a_matrix_of_one_row_may_become_a_vector() -> None:
    base = header(("ffn_gate_inp_shexp.weight", (64, 1), "f32"), ("b", (1,), "f32"))
    check_same_tensors(base, header(("ffn_gate_inp_shexp.weight", (64,), "f32"), ("b", (1, 1), "f32")))
    with pytest.raises(Corrupt, match="differs from"):
        check_same_tensors(base, header(("ffn_gate_inp_shexp.weight", (1, 64), "f32"), ("b", (1,), "f32")))


def test_the_conversion_imports_neither_torch_nor_transformers() -> None:
    """They take longer than the quantization of a small model. Only the script that makes the F16 file needs them."""
    program = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; import tasks.formats.gguf.convert"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
