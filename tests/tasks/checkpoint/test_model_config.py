"""What config.json says of a model is read, and a value that no model can have is refused with its field."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.checkpoint.model_config import LARGEST, ModelConfig, epsilons, parse_config
from tasks.errors import Corrupt

ABSENT = ModelConfig("unknown", "unknown", 0, 0, 0, 0, 0, 0, 0, 0, 0, None, 0, None, ())
HEADS = {"hidden_size": 64, "num_attention_heads": 4}


def test_every_field_is_read() -> None:
    content = {
        "architectures": ["First", "Second"],
        "model_type": "family",
        "num_hidden_layers": 3,
        "num_nextn_predict_layers": 1,
        **HEADS,
        "embedding_size": 48,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 100,
        "n_ctx": 512,
        "tie_word_embeddings": False,
        "num_experts": 8,
        "quantization_config": {"quant_method": "gptq"},
        "rope_scaling": {"rope_type": "yarn"},
    }
    read = ModelConfig("First", "family", 3, 1, 64, 48, 4, 2, 32, 100, 512, False, 8, "gptq", ("yarn",))
    assert parse_config(content) == read
    # The text model of a model that also sees pictures; its own fields count, and then those around them.
    assert parse_config({**content, "text_config": {"hidden_size": 96}}).hidden_size == 96


def test_what_is_absent_follows_from_the_rest_or_is_zero() -> None:
    assert parse_config({}) == ABSENT
    assert parse_config(HEADS) == replace(ABSENT, hidden_size=64, embedding_size=64, heads=4, kv_heads=4, head_dim=16)


@pytest.mark.parametrize(
    "content",
    [
        {"architectures": []},
        {"architectures": "LlamaForCausalLM"},
        {"quantization_config": {}},
        {"quantization_config": "gptq"},
        {"num_experts": 0, "num_nextn_predict_layers": 0, "num_key_value_heads": 0},
        {"rope_scaling": {"rope_type": "default"}, "rope_parameters": {"factor": 2}},
    ],
)
def test_these_values_say_nothing(content: dict[str, Any]) -> None:
    assert parse_config(content) == ABSENT


@pytest.mark.parametrize(
    ("fields", "heads"),
    [
        ({"multi_query": True}, 1),
        ({"multi_query": True, "new_decoder_architecture": False}, 1),
        ({"multi_query": True, "new_decoder_architecture": True}, 2),
        ({"multi_query": False}, 2),
        ({}, 2),
    ],
)
def test_all_heads_may_share_their_keys_whatever_number_the_file_names(fields: dict[str, bool], heads: int) -> None:
    assert parse_config({**HEADS, "num_kv_heads": 2, **fields}).kv_heads == heads


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"vocab_size": LARGEST + 1}, "vocab_size is 281474976710657, which is not a whole number"),
        *(
            ({field: 0}, f"{field} is 0, and must be positive")
            for field in ("n_embd", "n_head", "n_layer", "vocab_size")
        ),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', neither true nor false"),
        ({"tie_word_embeddings": 0}, "tie_word_embeddings is 0, neither true nor false"),
        ({"model_type": 5}, "model_type is 5, which is not a name"),
        ({"model_type": "a\nb"}, "model_type is .*, which is not a name"),
        ({"architectures": ["a" * 201]}, "architectures is .*, which is not a name"),
        ({"quantization_config": {"quant_method": 4}}, r"quantization_config\.quant_method is 4, which is not a name"),
        ({"rope_scaling": {"type": 1}}, "rope_type is 1, which is not a name"),
    ],
)
def test_a_value_that_no_model_can_have_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(Corrupt, match=rf"^config\.json: {message}; ask the publisher to fix it\.$"):
        parse_config(content)


def test_values_at_the_limits_are_read() -> None:
    config = parse_config({"vocab_size": 2**48, "hidden_size": 1, "model_type": "a" * 200})
    assert (config.vocabulary_size, config.hidden_size, config.model_type) == (2**48, 1, "a" * 200)


def test_epsilons_are_numbers_under_a_name_that_ends_so() -> None:
    found = {"rms_norm_eps": 1e-6, "layer_norm_epsilon": 1, "eps": 0.5}
    assert epsilons({**found, "norm_eps": "small", "epsilon_of": 2.0, "hidden_size": 4}) == found
