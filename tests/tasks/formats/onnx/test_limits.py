"""What cannot become an ONNX graph is known to the plan."""

import pytest

from tasks.errors import Unsupported
from tasks.formats.onnx.target import FORMAT
from tasks.formats.registry import parse_target
from tests.tasks.formats.analyses import analysis_with


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"needs_code": True}, "Python code from its repository"),
        ({"experts": 8}, "mixture of experts"),
        ({"model_type": "mamba"}, "another state than keys and values"),
        ({"model_type": "qwen3_5_text"}, "another state than keys and values"),
        ({"model_type": "mpt"}, "exporter cannot export LlamaForCausalLM"),
        ({"architecture": "BertForMaskedLM"}, "not a causal language model"),
        ({"tokenizer": "none"}, "no tokenizer"),
        ({"rope_types": ("dynamic",)}, "config.json has 'dynamic' rotary positions"),
        ({"rope_types": ("default", "longrope")}, "config.json has 'longrope' rotary positions"),
    ],
)
def test_what_cannot_be_made_is_reported_beforehand(changes: dict[str, object], reason: str) -> None:
    for name in FORMAT.target_names:
        with pytest.raises(Unsupported, match=reason):
            FORMAT.predict(parse_target(name, {}), analysis_with(**changes))


def test_positions_that_are_the_same_for_every_length_are_exported() -> None:
    FORMAT.predict(parse_target("onnx-fp32"), analysis_with(rope_types=("default", "linear", "llama3", "yarn")))
