"""What a publisher's machine or code preferred is left out of config.json; what describes the model stays."""

from typing import Any

import pytest

from tasks.checkpoint.preferences import NEUTRAL, NEVER, without_preferences

MODEL = {"model_type": "llama", "use_cache": False, "hidden_size": 64}


@pytest.mark.parametrize("field", [*NEUTRAL, NEVER])
def test_every_such_field_is_left_out_and_named(field: str) -> None:
    settled, (note,) = without_preferences({**MODEL, field: "another", "text_config": {field: "another", "n_embd": 1}})
    assert settled == {**MODEL, "text_config": {"n_embd": 1}}
    assert note.startswith(f"config.json: {field}, text_config.{field} say how the publisher's machine or code ran")


@pytest.mark.parametrize("field", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", ["auto", "bf16", "torch.bfloat16", 16, {"": "float32"}])
def test_a_type_that_transformers_does_not_read_is_left_out(field: str, value: Any) -> None:
    assert without_preferences({**MODEL, field: value})[0] == MODEL
    for known in ("bfloat16", "float16", "float32", None):
        assert without_preferences({**MODEL, field: known}) == ({**MODEL, field: known}, ())


def test_an_empty_quantization_is_left_out() -> None:
    note = "config.json: quantization_config is empty, so it is left out."
    assert without_preferences({**MODEL, "quantization_config": {}}) == (MODEL, (note,))
    described: dict[str, Any] = {**MODEL, "quantization_config": {"quant_method": "gptq"}}
    assert without_preferences(described) == (described, ())


def test_values_that_ask_for_nothing_stay_without_a_note() -> None:
    content: dict[str, Any] = {**MODEL, **NEUTRAL, "text_config": dict(NEUTRAL)}
    assert without_preferences(content) == (content, ())


def test_the_opposite_of_what_transformers_assumes_is_left_out_and_no_inner_configuration_is_made() -> None:
    opposite = {"torchscript": True, "return_dict": False, "output_attentions": True, "output_hidden_states": True}
    settled, (note,) = without_preferences({**MODEL, **opposite})
    assert settled == MODEL
    assert note.startswith(f"config.json: {', '.join(opposite)} say how")
