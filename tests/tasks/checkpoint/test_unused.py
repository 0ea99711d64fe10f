"""Tensors that no model needs are known by name, and those that look like them and are needed are not."""

import pytest

from tasks.checkpoint.unused import is_unused, is_value_head

SQUARE = (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("name", "shape", "unused"),
    [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", (8,), True),
        ("model.rotary_emb.original_inv_freq", (8,), True),
        ("model.layers.0.self_attn.rotary_emb.cos_cached", SQUARE, True),
        ("model.layers.0.self_attn.rotary_emb.sin_cached", SQUARE, True),
        ("transformer.h.0.attn.causal_mask", SQUARE, True),
        ("transformer.h.0.attn.masked_bias", (), True),
        ("transformer.h.0.attn.bias", SQUARE, True),
        ("transformer.h.0.attn.bias", (8, 8), True),
        ("h.0.attn.attention.bias", SQUARE, True),
        ("model.embed_positions.weights", (10, 64), True),
        ("model.decoder.version", (1,), True),
        ("v_head.summary.weight", (1, 64), True),
        ("v_head.summary.bias", (1,), True),
        ("transformer.h.0.attn.bias", (64,), False),
        ("model.decoder.embed_positions.weight", (10, 64), False),
        ("model.layers.0.self_attn.q_proj.bias", (64,), False),
        ("model.layers.0.v_head.weight", (64, 64), False),
        ("lm_head.weight", (10, 64), False),
    ],
)
def test_what_is_unused(name: str, shape: tuple[int, ...], unused: bool) -> None:
    assert is_unused(name, shape) is unused


def test_only_a_value_head_is_a_value_head() -> None:
    assert is_value_head("v_head.summary.bias")
    assert not is_value_head("transformer.h.0.attn.masked_bias")
