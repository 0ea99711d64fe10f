"""Names, options and predictions of the safetensors target, without any tool."""

import pytest

from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.registry import parse_target
from tasks.formats.safetensors.target import FORMAT
from tests.tasks.formats.analyses import analysis_with


def test_options_are_filled_in_and_checked() -> None:
    assert parse_target("safetensors-bf16", {}).options == {"shard_size_mb": 5000}
    for name, options in (
        ("safetensors-fp8", {}),
        ("safetensors-bf16", {"shards": 2}),
        ("safetensors-bf16", {"shard_size_mb": 0}),
    ):
        with pytest.raises(InvalidRecipe, match=r"safetensors-bf16"):
            parse_target(name, options)


def test_a_weight_takes_two_bytes() -> None:
    prediction = FORMAT.predict(parse_target("safetensors-bf16", {}), analysis_with(weight_bytes=4_000_000))
    assert prediction.size_bytes == 2_000_000
    assert prediction.disk_bytes == 6_000_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"needs_code": True}, "Python code from its repository"),
        ({"model_type": "mamba"}, "no KV cache"),
        ({"tokenizer": "none"}, "no tokenizer"),
    ],
)
def test_what_cannot_be_made_is_reported_beforehand(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        FORMAT.predict(parse_target("safetensors-bf16", {}), analysis_with(**changes))
