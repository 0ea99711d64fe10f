"""What the converter does to a tensor depends on its architecture, its name and that of its source."""

import numpy as np
import pytest

from tasks.formats.gguf.changes import AS_IT_IS, GATE, PERMUTED, PLUS_ONE, UP, change_of, divided, is_known, source_name


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
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    (view,) = PERMUTED.views(rows, heads, "blk.0.attn_k.weight")
    assert view.reshape(-1).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_fused_tensor_has_the_names_of_its_parts() -> None:
    assert list(divided("model.layers.0.mlp.experts.gate_up_proj")) == [
        "model.layers.0.mlp.experts.gate_proj.weight",
        "model.layers.0.mlp.experts.up_proj.weight",
    ]
    assert list(divided("model.norm.weight")) == ["model.norm.weight"]


def test_names_are_spelled_as_the_table_has_them() -> None:
    assert source_name("bloom", "transformer.h.0.mlp.weight") == "h.0.mlp.weight"
    assert source_name("llama", "model.language_model.norm.weight") == "model.norm.weight"
    assert is_known("llama") and not is_known("an architecture of tomorrow")
