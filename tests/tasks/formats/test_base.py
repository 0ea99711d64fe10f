"""What a target is made from, and the fields that no format may leave empty."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.formats.base import Target
from tasks.formats.registry import FORMATS, load_format, parse_target


def test_bases_are_the_inputs_that_other_conversions_make() -> None:
    target = Target(
        name="t", format="f", scheme="s", maker="m", engines=(), requires=("snapshot", "f-base", "calibration")
    )
    assert target.bases == ["f-base"] and not target.servable


@pytest.mark.parametrize("field", ["schemes", "makers", "engines", "precisions", "weights"])
def test_a_format_without_a_field_is_refused_when_it_is_declared(field: str) -> None:
    known, emptied = load_format(next(iter(FORMATS))), dict[str, Any]({field: ()})
    with pytest.raises(ValueError, match=rf"the format '{known.name}' has no {field}; add them"):
        replace(known, **emptied)


@pytest.mark.parametrize("name", FORMATS)
def test_a_target_has_its_maker_and_the_engine_whose_numbers_are_gated(name: str) -> None:
    known = load_format(name)
    target = parse_target(known.target_names[0])
    assert known.maker(target).function == next(iter(known.makers.values())).function
    assert known.engine(target) is known.engines[0]
    assert known.engine(target.model_copy(update={"engines": (known.engines[0].name, "later")})) is known.engines[0]
