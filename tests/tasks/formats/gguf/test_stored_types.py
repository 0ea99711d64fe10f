"""A GGUF file holds its matrices in the type that it declares; the rules are those of llama-quantize."""

import re
from pathlib import Path

import pytest

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt, NotFound
from tasks.formats.gguf.header import Header, TensorInfo, Value
from tasks.formats.gguf.quantizations import QUANTIZATIONS
from tasks.formats.gguf.stored_types import (
    NEVER_QUANTIZED,
    NEVER_QUANTIZED_OF,
    check_declared,
    check_made,
    predicted_bytes,
    shape,
)
from tasks.formats.gguf.tensor_types import TENSOR_TYPES

BY_NAME = {kind.name: kind for kind in TENSOR_TYPES.values()}
Q4_K_M, F16_FILE = 15, 1


def header(
    declared: int | None, *tensors: tuple[str, tuple[int, ...], str], architecture: str = "llama", experts: int = 0
) -> Header:
    infos = tuple(TensorInfo(name, dimensions, BY_NAME[kind], 0) for name, dimensions, kind in tensors)
    metadata: dict[str, Value] = {"general.architecture": architecture, f"{architecture}.expert_count": experts}
    if declared is not None:
        metadata["general.file_type"] = declared
    return Header(Path("made.gguf"), 3, metadata, infos, 0)


@pytest.mark.parametrize(
    ("declared", "tensor"),
    [
        (Q4_K_M, ("blk.0.attn_k.weight", (256, 10), "f16")),
        (Q4_K_M, ("blk.0.attn_k.weight", (256, 10), "f32")),
        (Q4_K_M, ("blk.0.attn_k.weight", (256, 10), "bf16")),
        (Q4_K_M, ("blk.0.attn_k.weight", (256, 10), "q5_0")),
        (Q4_K_M, ("blk.0.attn_k.weight", (64, 10), "f16")),
        (Q4_K_M, ("blk.0.ffn_up_exps.weight", (256, 10, 4), "f16")),
        (QUANTIZATIONS["q8_0"].file_type, ("output.weight", (256, 10), "q6_k")),
        (F16_FILE, ("blk.0.attn_k.weight", (256, 10), "q8_0")),
    ],
)
def test_another_type_than_the_declared_one_is_named(declared: int, tensor: tuple[str, tuple[int, ...], str]) -> None:
    said = f"'{re.escape(tensor[0])}' is stored in {tensor[2]}; run the release again with 'force'"
    with pytest.raises(Corrupt, match=said):
        check_declared(header(declared, ("output_norm.weight", (256,), "f32"), tensor))


@pytest.mark.parametrize(
    "sound",
    [
        header(Q4_K_M, ("blk.0.attn_k.weight", (256, 10), "q4_k"), ("blk.0.attn_norm.weight", (256,), "f32")),
        header(Q4_K_M, ("blk.0.attn_k.weight", (64, 10), "q5_0"), ("blk.0.odd.weight", (100, 10), "f16")),
        header(Q4_K_M, ("blk.0.ffn_gate_inp.weight", (256, 4), "f32"), ("blk.0.time_mix_w1.weight", (256, 4), "f16")),
        header(Q4_K_M, ("blk.0.ffn_gate_inp_shexp.weight", (256, 1), "f16"), ("blk.0.attn_k.bias", (256, 2), "f32")),
        header(Q4_K_M, ("blk.0.attn_v.weight", (256, 10), "q8_0"), experts=8),
        header(Q4_K_M, ("output.weight", (256, 10), "q8_0"), architecture="falcon"),
        header(Q4_K_M, ("blk.0.attn_k_b.weight", (256, 10), "f16"), architecture="glm5-next"),
        header(F16_FILE, ("blk.0.attn_k.weight", (256, 10), "f16"), ("a.weight", (256, 10), "f32")),
        header(None, ("blk.0.attn_k.weight", (256, 10), "f16")),
    ],
)
def test_what_llama_quantize_keeps_or_raises_is_sound(sound: Header) -> None:
    check_declared(sound)


@pytest.mark.parametrize(("scheme", "stored"), [("q4_k_m", "q8_0"), ("iq2_xxs", "q8_0"), ("q6_k", "iq4_nl")])
def test_a_file_of_another_size_than_predicted_is_refused(scheme: str, stored: str) -> None:
    """Rows of 96 weights do not divide, so that every fallback passes the check of the types."""
    name, shape = "blk.0.ffn_up.weight", (96, 512)
    made = header(QUANTIZATIONS[scheme].file_type, (name, shape, stored))
    check_declared(made)
    with pytest.raises(Corrupt, match=rf"made\.gguf has {made.tensors[0].bytes} bytes of tensors, but {scheme}"):
        check_made(made, header(F16_FILE, (name, shape, "f16")), scheme)


LAYERS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("output_norm.weight", (256,), "f32"),
    ("blk.0.ffn_up.weight", (256, 160), "f16"),
    ("blk.0.odd.weight", (96, 160), "f16"),
    ("blk.0.very_odd.weight", (100, 80), "f16"),
)


def test_the_predicted_size_counts_every_kind_of_tensor() -> None:
    q4_k_m = QUANTIZATIONS["q4_k_m"]
    layers = 256 * 4 + 256 * 160 * 4.85 / 8 + 96 * 160 * 6.0 / 8 + 100 * 80 * 2
    embedding, output = ("token_embd.weight", (256, 80), "f16"), ("output.weight", (256, 80), "f16")
    untied = header(F16_FILE, embedding, output, *LAYERS)
    assert predicted_bytes(untied, q4_k_m) == pytest.approx(layers + 256 * 80 * (4.5 + 6.5625) / 8)
    assert predicted_bytes(header(F16_FILE, embedding, *LAYERS), q4_k_m) == pytest.approx(
        layers + 256 * 80 * 6.5625 / 8
    )
    odd = header(F16_FILE, ("token_embd.weight", (96, 80), "f16"), ("output.weight", (96, 80), "f16"))
    assert predicted_bytes(odd, q4_k_m) == pytest.approx(96 * 80 * (6.0 + 8.5) / 8)
    q8_0 = predicted_bytes(header(F16_FILE, *LAYERS), QUANTIZATIONS["q8_0"])
    assert q8_0 == pytest.approx(256 * 4 + (256 + 96) * 160 * 8.5 / 8 + 100 * 80 * 2)


def test_a_file_that_is_what_was_asked_for_is_accepted() -> None:
    types = {"blk.0.ffn_up.weight": "q8_0", "blk.0.odd.weight": "q8_0"}
    made = header(
        QUANTIZATIONS["q8_0"].file_type, *((name, shape, types.get(name, kind)) for name, shape, kind in LAYERS)
    )
    check_made(made, header(F16_FILE, *LAYERS), "q8_0")
    with pytest.raises(Corrupt, match="declares the file type 7, but q6_k is 18"):
        check_made(made, header(F16_FILE, *LAYERS), "q6_k")


def test_trailing_ones_are_no_dimension() -> None:
    shapes = [(64, 1), (64, 1, 1), (64, 2, 1), (1, 1), (1, 5)]
    kept = [shape(TensorInfo("a", dimensions, BY_NAME["f16"], 0)) for dimensions in shapes]
    assert kept == [(64,), (64,), (64, 2), (1,), (1, 5)]


def test_the_list_of_what_is_never_quantized_is_llama_cpps() -> None:
    """It is copied from a source file, which a new version of llama.cpp may change."""
    try:
        source = (llama_cpp().tree / "src" / "llama-quant.cpp").read_text(encoding="utf-8")
    except NotFound:
        pytest.skip("llama.cpp is not built here")
    body = source.partition("static bool tensor_allows_quantization")[2].partition("\n}\n")[0]
    named = set(re.findall(r'name\.find\("([^"]+)"\)', body))
    enumerated = re.findall(r"!= LLM_TN\(arch\)\(LLM_TENSOR_(\w+)", body)
    assert sorted(enumerated) == ["POS_EMBD", "TOKEN_TYPES"]
    ours = {*NEVER_QUANTIZED, *(part for parts in NEVER_QUANTIZED_OF.values() for part in parts)}
    assert ours == named | {"position_embd.weight", "token_types.weight"}
