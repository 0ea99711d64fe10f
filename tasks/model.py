"""The base of all value objects: frozen, strict about unknown fields, with one canonical text form."""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks.errors import Corrupt

TOLD_FIELDS = 5
"""How many wrong fields a message names; who mends those sees the others then."""


def _finite(value: Any) -> Any:
    """Refuse a number that JSON has no word for, however deep it lies."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for item in inner:
        _finite(item)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that can be kept")
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Small facts or options of any shape, all of whose numbers are finite."""


class Model(BaseModel):
    """A frozen value that refuses unknown fields.

    `from_json(value.to_json())` gives an equal value back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """Return the value as indented JSON with sorted keys, ending in a newline."""
        return json_text(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse what `to_json` wrote; raises pydantic.ValidationError naming the field that is wrong."""
        return cls.model_validate_json(text)

    @classmethod
    def read_file(cls, path: Path, what: str, then: str = "make it again with 'force'") -> Self:
        """Parse a file as `read` does; one that cannot be read is as wrong as one that is not what it should be."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise Corrupt(f"{what} cannot be read: {error.strerror}; {then}.") from error
        return cls.read(text, what, then)

    @classmethod
    def read(cls, text: str | bytes, what: str, then: str = "make it again with 'force'") -> Self:
        """Parse what `to_json` wrote; raises Corrupt: what cannot be read, which field is wrong, what to do then."""
        try:
            return cls.model_validate_json(text, context=what)
        except ValidationError as error:
            raise Corrupt(f"{what} cannot be read: {explain(error)}; {then}.") from error


def json_text(value: Any) -> str:
    """Return a JSON value's canonical text for people: indented, keys sorted, with a newline at its end."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def explain(error: ValidationError) -> str:
    """Return what is wrong with a value, the first fields each with its reason, in one line without a full stop."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    # A list whose items are all wrong is reported as too short as well, which is not what is wrong with it.
    places = [item["loc"] for item in items]
    items = [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(len(place) > len(item["loc"]) and place[: len(item["loc"])] == item["loc"] for place in places)
    ]
    told = [
        f"{'.'.join(map(str, item['loc'])) + ': ' if item['loc'] else ''}"
        f"{item['msg'].removeprefix('Value error, ').rstrip('.')}"
        for item in items[:TOLD_FIELDS]
    ]
    more = [f"and {len(items) - TOLD_FIELDS} more"] if len(items) > TOLD_FIELDS else []
    # A field's name is whatever somebody wrote.
    return "; ".join(told + more).replace("\n", "\\n")


def digest_of(value: Any) -> str:
    """Return the sha256 (hex) of a JSON-serializable value's canonical form: sorted keys, no white space, UTF-8."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
