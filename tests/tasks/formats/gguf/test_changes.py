"""What the converter does to a tensor depends on its architecture, its name and that of its source."""

from typing import Any

import numpy as np
import pytest

from tasks.formats.gguf.changes import (
    AS_IT_IS,
    BY_GROUPS,
    BY_PARTS,
    GATE,
    LATENT_KEYS,
    LATENT_VALUES,
    LINEAR,
    LINEAR_GATE,
    PERMUTED,
    PLUS_ONE,
    TRANSPOSED,
    UP,
    Change,
    change_of,
    divided,
    is_known,
    source_name,
)


@pytest.mark.parametrize(
    ("architecture", "stored", "source", "change"),
    [
        ("llama", "blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", PERMUTED),
        ("llama", "blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", AS_IT_IS),
        ("qwen2", "blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", AS_IT_IS),
        ("gemma3", "output_norm.weight", "model.norm.weight", PLUS_ONE),
        ("qwen3next", "blk.0.ssm_norm.weight", "model.layers.0.linear_attn.norm.weight", AS_IT_IS),
        ("qwen3moe", "blk.0.ffn_gate_exps.weight", "model.layers.0.mlp.experts.gate_up_proj", GATE),
        ("qwen3moe", "blk.0.ffn_up_exps.weight", "model.layers.0.mlp.experts.gate_up_proj", UP),
        # Experts that are stored apart are not halved.
        ("qwen3moe", "blk.0.ffn_up_exps.weight", "model.layers.0.mlp.experts.0.up_proj.weight", AS_IT_IS),
    ],
)
def test_the_change(architecture: str, stored: str, source: str, change: object) -> None:
    assert change_of(architecture, stored, source) is change


def test_the_halves_of_a_head_alternate() -> None:
    rows = np.arange(8).reshape(8, 1)
    (view,) = PERMUTED.views(rows, {"num_attention_heads": 2}, "blk.0.attn_q.weight")
    assert view.reshape(-1).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    (view,) = PERMUTED.views(rows, {"n_heads": 2}, "blk.0.attn_k.weight")
    assert view.reshape(-1).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    (view,) = PERMUTED.views(rows, heads, "blk.0.attn_k.weight")
    assert view.reshape(-1).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


LINEAR_HEADS = {
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 2,
}
TWO_GROUPS = {"num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True}


@pytest.mark.parametrize(
    ("change", "config", "stored"),
    [
        (PERMUTED, {"n_head": 2}, [0, 2, 1, 3, 4, 6, 5, 7]),
        (BY_PARTS, {"n_head": 2}, [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]),
        (BY_GROUPS, TWO_GROUPS, [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]),
        (BY_GROUPS, {"num_attention_heads": 3, "num_kv_heads": 3}, list(range(10))),
        (BY_GROUPS, {"num_attention_heads": 2, "multi_query": False}, [0, 3, 1, 4, 2, 5]),
        (LINEAR, LINEAR_HEADS, [0, 1, 12, 13, 2, 3, 14, 15, 4, 5, 6, 7, 16, 17, 18, 19]),
    ],
)
def test_the_order_of_the_rows(change: Change, config: dict[str, Any], stored: list[int]) -> None:
    rows = 24 if change is LINEAR else len(stored)
    numbers = np.arange(2 * rows).reshape(rows, 2)
    views = change.views(numbers, config, "x")
    assert np.concatenate([view.reshape(-1, 2) for view in views]).tolist() == numbers[stored].tolist()


@pytest.mark.parametrize(
    ("change", "shape", "config", "stored"),
    [
        (TRANSPOSED, (2, 3), {}, [0, 3, 1, 4, 2, 5]),
        (GATE, (1, 4, 6), {}, list(range(12))),
        (UP, (1, 4, 6), {}, list(range(12, 24))),
        (LINEAR_GATE, (24, 1), LINEAR_HEADS, [8, 9, 10, 11, 20, 21, 22, 23]),
        (LATENT_KEYS, (6, 2), {"num_attention_heads": 2, "qk_nope_head_dim": 2}, [0, 2, 1, 3, 6, 8, 7, 9]),
        (LATENT_VALUES, (6, 2), {"num_attention_heads": 2, "qk_nope_head_dim": 2}, [4, 5, 10, 11]),
    ],
)
def test_the_order_of_the_numbers(
    change: Change, shape: tuple[int, ...], config: dict[str, Any], stored: list[int]
) -> None:
    numbers = np.arange(np.prod(shape)).reshape(shape)
    (view,) = change.views(numbers, config, "x")
    assert view.reshape(-1).tolist() == stored


def test_a_fused_tensor_has_the_names_of_its_parts() -> None:
    assert list(divided("model.layers.0.mlp.experts.gate_up_proj")) == [
        "model.layers.0.mlp.experts.gate_proj.weight",
        "model.layers.0.mlp.experts.up_proj.weight",
    ]
    assert list(divided("model.norm.weight")) == ["model.norm.weight"]


def test_names_are_spelled_as_the_table_has_them() -> None:
    assert source_name("bloom", "transformer.h.0.mlp.weight") == "h.0.mlp.weight"
    assert source_name("llama", "model.language_model.norm.weight") == "model.norm.weight"
    assert source_name("deepseek2", "mlp.gate.e_score_correction_bias") == "mlp.gate.e_score_correction.bias"
    assert source_name("llama", "e_score_correction_bias.weight") == "e_score_correction_bias.weight"
    assert source_name("qwen3next", "linear_attn.dt_bias") == "linear_attn.dt_proj.bias"
    assert is_known("llama") and not is_known("an architecture of tomorrow")
