"""A record's text holds its version; earlier versions are translated, newer ones refused; the value knows nothing."""

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from tasks.errors import TooNew
from tasks.records import Record


class Box(Record):
    """The second version: `size` was called `length` in the first."""

    SCHEMA: ClassVar[int] = 2
    size: int

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        assert version == 1
        return {"size": fields["length"], **{name: value for name, value in fields.items() if name != "length"}}


def test_the_text_holds_the_version_and_the_value_does_not() -> None:
    assert Box(size=3).to_json() == '{\n "schema": 2,\n "size": 3\n}\n'
    assert Box(size=3).model_dump() == {"size": 3}
    assert Box.from_json(Box(size=3).to_json()) == Box(size=3)


@pytest.mark.parametrize("text", ['{"length": 3}', '{"schema": 1, "length": 3}', '{"schema": 2, "size": 3}'])
def test_earlier_versions_are_translated(text: str) -> None:
    assert Box.from_json(text) == Box(size=3)


def test_a_field_of_an_earlier_version_is_wrong_in_this_one() -> None:
    with pytest.raises(ValidationError, match="length"):
        Box.from_json('{"schema": 2, "length": 3}')
    with pytest.raises(ValidationError, match="schema"):
        Box.model_validate({"schema": 2, "size": 3})


def test_a_newer_version_is_refused_with_what_this_checkout_reads() -> None:
    with pytest.raises(TooNew, match="The box has schema version 3, .* reads only version 2 and earlier ones; update"):
        Box.read('{"schema": 3}', "The box")
    with pytest.raises(TooNew, match="^Box has schema version 3"):
        Box.from_json('{"schema": 3}')
