"""An architecture that config.json does not name is found by its `model_type`."""

from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from tasks.source.view.architectures import name_architecture


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "llama"}, "LlamaForCausalLM"),
        ({"model_type": "llama", "architectures": None}, "LlamaForCausalLM"),
        ({"model_type": "llama", "architectures": []}, "LlamaForCausalLM"),
    ],
)
def test_a_missing_name_is_that_of_the_type(config: dict[str, Any], named: str) -> None:
    settled, (note,) = name_architecture(config)
    assert settled == {**config, "architectures": [named]}
    assert note == f"config.json names no architecture; the release names {named}."


@pytest.mark.parametrize("named", ["LlamaForCausalLM", [None], [["LlamaForCausalLM"]], {"a": 1}])
def test_what_is_no_list_of_names_becomes_one(named: object) -> None:
    settled, (note,) = name_architecture({"model_type": "llama", "architectures": named})
    assert settled["architectures"] == ["LlamaForCausalLM"]
    assert note == "architectures in config.json is no list of names; the release names LlamaForCausalLM."


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "llama", "architectures": ["OwnForCausalLM"], "auto_map": {"AutoModelForCausalLM": "m.Own"}},
        {"model_type": "mpt", "architectures": ["MPTForCausalLM"]},
        {"model_type": "mllama", "architectures": ["MllamaForConditionalGeneration"]},
        {"model_type": "t5"},
        {"model_type": "t5", "architectures": ["OwnForCausalLM"]},
        {},
    ],
)
def test_a_name_stays_and_none_is_made_up(config: dict[str, Any]) -> None:
    assert name_architecture(config) == (config, ())


@pytest.mark.parametrize("named", ["FSDPQwen2ForCausalLM", "PeftModelForCausalLM", "AutoModelForCausalLM"])
def test_the_name_of_a_wrapper_gives_way_to_that_of_the_type(named: str) -> None:
    config = {"model_type": "qwen2", "architectures": [named, "Other"]}
    settled, (note,) = name_architecture(config)
    assert settled == {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    assert note == (
        f"config.json names the architecture {named}, which transformers does not have; "
        "the release names Qwen2ForCausalLM."
    )


def test_a_model_without_a_head_stays_with_a_note() -> None:
    config = {"model_type": "qwen3", "architectures": ["Qwen3Model"]}
    settled, (note,) = name_architecture(config)
    assert settled == config
    assert note == (
        "config.json names Qwen3Model, a model without an output head, such as those that embed texts; "
        "the release is a language model, Qwen3ForCausalLM."
    )
