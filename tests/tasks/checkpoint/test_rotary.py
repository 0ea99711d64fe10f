"""Where configurations have the parameters of rotary positions."""

from typing import Any

import pytest

from tasks.checkpoint.model_config import parse_config
from tasks.checkpoint.rotary import rope_type, rotary_parameters
from tasks.errors import Corrupt


@pytest.mark.parametrize(
    ("config", "types"),
    [
        ({}, ()),
        ({"rope_scaling": None, "rope_parameters": {}}, ()),
        ({"rope_parameters": {"rope_type": "default"}}, ()),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, ("linear",)),
        ({"rope_parameters": {"rope_type": "longrope", "type": "default"}}, ("longrope",)),
        (
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "yarn"},
                    "sliding_attention": {"rope_type": "default"},
                }
            },
            ("yarn",),
        ),
        ({"text_config": {"rope_scaling": {"rope_type": "dynamic"}}}, ("dynamic",)),
    ],
)
def test_the_types_are_found_under_both_names_and_for_each_type_of_layer(
    config: dict[str, Any], types: tuple[str, ...]
) -> None:
    assert parse_config(config).rope_types == types


def test_a_type_that_is_no_name_is_reported_with_its_field() -> None:
    with pytest.raises(Corrupt, match=r"config\.json: rope_type is \['yarn'\], which is not a name"):
        parse_config({"rope_scaling": {"rope_type": ["yarn"]}})


def test_all_sets_of_parameters_are_read() -> None:
    inner = {"type": "su", "factor": 4}
    sets = rotary_parameters({"rope_scaling": {"global": inner}, "rope_parameters": {"rope_type": "default"}})
    assert [rope_type(part) for part in sets] == ["default", None, "su"]
