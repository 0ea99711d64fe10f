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


@pytest.mark.parametrize(
    "config", [{"model_type": "llama", "architectures": ["OwnForCausalLM"]}, {"model_type": "t5"}, {}]
)
def test_a_name_stays_and_none_is_made_up(config: dict[str, Any]) -> None:
    assert name_architecture(config) == (config, ())
