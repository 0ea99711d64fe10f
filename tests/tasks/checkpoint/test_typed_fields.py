"""A number in another type than transformers takes is the same number; null is off where that is the default."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

transformers = pytest.importorskip("transformers")

from tasks.checkpoint.typed_fields import with_typed_fields


@pytest.mark.parametrize(
    ("model_type", "field", "value", "spelled", "now"),
    [
        ("mixtral", "router_jitter_noise", 0, 0.0, "0.0"),
        ("gemma2", "final_logit_softcapping", 30, 30.0, "30.0"),
        ("cohere", "logit_scale", 1, 1.0, "1.0"),
        ("olmo", "clip_qkv", 8, 8.0, "8.0"),
        ("deepseek_v3", "routed_scaling_factor", 1, 1.0, "1.0"),
        ("llama", "max_position_embeddings", 4096.0, 4096, "4096"),
        ("llama", "attention_bias", None, False, "false"),
        ("llama", "tie_word_embeddings", None, False, "false"),
        ("qwen2", "use_sliding_window", None, False, "false"),
    ],
)
def test_a_value_of_another_type_is_the_same_value(
    model_type: str, field: str, value: Any, spelled: Any, now: str
) -> None:
    content = {"model_type": model_type, field: value}
    with pytest.raises(Exception, match=field):
        transformers.AutoConfig.for_model(**content)
    settled, (note,) = with_typed_fields(content)
    assert settled == {"model_type": model_type, field: spelled}
    assert type(settled[field]) is type(spelled)
    assert note == (f"config.json: {field} is {json.dumps(value)}; the release says {now}, as transformers takes it.")
    transformers.AutoConfig.for_model(**settled)


@pytest.mark.parametrize("field", ["rope_scaling", "rope_parameters"])
def test_the_original_length_of_rotary_positions_is_a_whole_number(field: str) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128.0}
    whole = {**yarn, "original_max_position_embeddings": 128}
    for has, says in ((yarn, whole), ({"full_attention": yarn, "other": 1.0}, {"full_attention": whole, "other": 1.0})):
        settled, (note,) = with_typed_fields({"model_type": "llama", field: has})
        assert repr(settled[field]) == repr(says)
        says_so = f"the release says {json.dumps(says)}, with a whole number of tokens."
        assert note == f"config.json: {field} is {json.dumps(has)}; {says_so}"
        assert with_typed_fields(settled) == (settled, ())


@pytest.mark.parametrize("value", [None, "yarn", {"original_max_position_embeddings": 128.5}])
def test_other_parameters_of_rotary_positions_stay(value: Any) -> None:
    content = {"model_type": "llama", "rope_scaling": value}
    assert with_typed_fields(content) == (content, ())


def test_the_configuration_of_the_text_model_has_the_types_of_its_own() -> None:
    inner = {"model_type": "gemma3_text", "rms_norm_eps": 0, "vocab_size": 8}
    settled, (note,) = with_typed_fields({"model_type": "gemma3", "text_config": inner})
    assert settled == {"model_type": "gemma3", "text_config": {**inner, "rms_norm_eps": 0.0}}
    assert type(settled["text_config"]["rms_norm_eps"]) is float
    assert note.startswith("config.json: text_config.rms_norm_eps is 0; the release says 0.0")


@pytest.mark.parametrize(
    "content",
    [
        {"model_type": "llama", "rms_norm_eps": 1e-5, "hidden_size": 64, "head_dim": None, "mlp_bias": True},
        {"model_type": "llama", "max_position_embeddings": 4096.5, "rms_norm_eps": "1", "hidden_size": True},
        # Its default is true, so null may mean either.
        {"model_type": "gemma", "tie_word_embeddings": None},
        {"model_type": "llama", "rms_norm_eps": 10**400, "max_position_embeddings": float("inf")},
        {"model_type": "novel", "rms_norm_eps": 1},
        {"rms_norm_eps": 1},
    ],
)
def test_other_values_stay(content: dict[str, Any]) -> None:
    settled, notes = with_typed_fields(content)
    assert (repr(settled), notes) == (repr(content), ())
