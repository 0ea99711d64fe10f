"""What is told of matrices that could not be held in the type asked for."""

from pathlib import Path

import pytest

from tasks.errors import Corrupt, Unsupported
from tasks.formats.gguf.header import Header, TensorInfo
from tasks.formats.gguf.quantize import check_same_tensors, find_fallbacks
from tasks.formats.gguf.tensor_types import TENSOR_TYPES
from tasks.formats.registry import parse_target

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
