"""Layers with a window need its size, also where another field switches the window off."""

from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

transformers = pytest.importorskip("transformers")

from tasks.checkpoint.windows_of_layers import missing_size

LAYERS = {"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sliding_window": 8, "use_sliding_window": True, **LAYERS}, None),
        ({"sliding_window": 8, "use_sliding_window": False, **LAYERS}, "null"),
        ({"sliding_window": 0, "use_sliding_window": True, **LAYERS}, "0"),
        ({"sliding_window": None, **LAYERS, "layer_types": ["full_attention"] * 2}, None),
        ({}, None),
    ],
)
def test_a_window_without_a_size_is_found(fields: dict[str, Any], said: str | None) -> None:
    found = missing_size(transformers.Qwen3Config(**fields))
    assert found == (said and f"layer_types names sliding_attention, and sliding_window is {said}")


def test_a_class_without_the_field_decides_nothing() -> None:
    assert missing_size(transformers.GPT2Config(layer_types=["sliding_attention"] * 12)) is None
