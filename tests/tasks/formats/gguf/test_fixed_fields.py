"""A field that llama.cpp never reads is refused unless it has the value that llama.cpp computes with."""

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tasks.formats.gguf.fixed_fields import FIXED, other_field
from tests.fixtures.tiny_architectures import ARCHITECTURES, tiny

pytestmark = pytest.mark.runtime("torch")


def changed(family: str, **fields: Any) -> Any:
    from transformers import AutoConfig

    config = tiny(family) if family in ARCHITECTURES else AutoConfig.for_model(family)
    for name, value in fields.items():
        setattr(config, name, value)
    return config


@pytest.mark.parametrize("family", sorted(ARCHITECTURES))
def test_every_family_that_llama_cpp_runs_as_its_source_passes(family: str) -> None:
    assert other_field(tiny(family)) is None


@pytest.mark.parametrize(
    ("family", "field", "value", "said"),
    [
        ("llama", "hidden_act", "gelu", "is gelu, and llama.cpp computes with silu"),
        ("gemma2", "hidden_activation", "silu", "is silu, and llama.cpp computes with gelu_pytorch_tanh"),
        ("gpt2", "activation_function", "relu", "is relu, and llama.cpp computes with gelu_new"),
        ("falcon", "activation", "relu", "is relu, and llama.cpp computes with gelu"),
        ("bitnet", "hidden_act", "relu2", "is relu2, and llama.cpp computes with silu"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True, "is true, and llama.cpp computes with false"),
        ("gpt2", "scale_attn_weights", False, "is false, and llama.cpp computes with true"),
        ("qwen3_moe", "norm_topk_prob", False, "is false, and llama.cpp computes with true"),
        ("gemma2", "query_pre_attn_scalar", 56, "is 56, and llama.cpp computes with 64"),
        ("gemma3_text", "query_pre_attn_scalar", 56, "is 56, and llama.cpp computes with 64"),
        ("gemma2", "attn_logit_softcapping", None, "is null, and llama.cpp computes with 50.0"),
        ("gemma2", "final_logit_softcapping", None, "is null, and llama.cpp computes with 30.0"),
        ("gemma3_text", "attn_logit_softcapping", 50.0, "is 50.0, and llama.cpp computes with null"),
    ],
)
def test_another_value_is_named_with_that_of_llama_cpp(family: str, field: str, value: Any, said: str) -> None:
    assert other_field(changed(family, **{field: value})) == f"config.json: '{field}' {said}"


SWITCHES = [
    (family, name) for family, fixed in FIXED.items() for name, value in fixed.items() if value in (True, False)
]


@pytest.mark.parametrize(("family", "name"), SWITCHES)
def test_each_switch_is_compared(family: str, name: str) -> None:
    value = FIXED[family][name]
    assert other_field(changed(family, **FIXED[family])) is None
    said = other_field(changed(family, **{**FIXED[family], name: not value}))
    words = [str(one).lower() for one in (not value, value)]
    assert said == f"config.json: '{name}' is {words[0]}, and llama.cpp computes with {words[1]}"


@pytest.mark.parametrize(("family", "layers"), [("gemma2", 46), ("gemma3_text", 62)])
def test_a_model_of_27_billion_is_scaled_by_its_width(family: str, layers: int) -> None:
    sizes = {"num_hidden_layers": layers, "hidden_size": 512, "num_attention_heads": 4, "head_dim": 64}
    assert other_field(changed(family, **sizes, query_pre_attn_scalar=128)) is None
    said = str(other_field(changed(family, **sizes, query_pre_attn_scalar=64)))
    assert said.endswith("'query_pre_attn_scalar' is 64, and llama.cpp computes with 128")


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("gpt2", "activation_function", "gelu"),
        ("gemma", "hidden_act", "gelu"),
        ("llama", "hidden_act", "swish"),
        ("gemma2", "attn_logit_softcapping", 20.0),
        ("gemma3_text", "final_logit_softcapping", 30.0),
    ],
)
def test_what_llama_cpp_reads_or_hardly_tells_apart_passes(family: str, field: str, value: Any) -> None:
    assert other_field(changed(family, **{field: value})) is None


@pytest.mark.parametrize(
    ("layers", "size", "engine"),
    [(30, None, None), (64, 4096, None), (64, 99, None), (30, 4096, "null"), (64, None, "4096")],
)
def test_exaone_has_windows_if_it_has_64_layers(layers: int, size: int | None, engine: str | None) -> None:
    config = changed("exaone4", num_hidden_layers=layers, sliding_window=size)
    shown = "null" if size is None else size
    said = f"config.json: 'sliding_window' is {shown}, and llama.cpp computes with {engine}"
    assert other_field(config) == (said if engine else None)


def test_the_layers_without_positions_are_every_fourth() -> None:
    config = changed("smollm3", no_rope_layers=[1, 0, 1, 1])
    assert other_field(config) == (
        "config.json: 'no_rope_layers' of layer 1 is false, and llama.cpp computes with true"
    )


def test_the_layers_of_afmoe_without_positions_are_those_without_a_window() -> None:
    usual = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert other_field(changed("afmoe", layer_types=usual)) is None
    assert other_field(changed("afmoe", layer_types=[*usual[:3], "sliding_attention"])) == (
        "config.json: 'layer_types' of layer 3 is sliding_attention, and llama.cpp computes with full_attention"
    )


@pytest.mark.parametrize(("scale", "right"), [(None, True), (0.125, True), (0.25, False)])
def test_the_scale_of_mpt_is_that_of_its_heads(scale: float | None, right: bool) -> None:
    config = changed("mpt")
    config.attn_config.softmax_scale = scale
    said = other_field(config)
    assert (said is None) is right
    if said:
        assert said == "config.json: 'softmax_scale' of attn_config is 0.25, and llama.cpp computes with 0.125"
