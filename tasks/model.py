"""The base class of all value objects, and their canonical JSON form.

Value objects are frozen and refuse unknown fields, so that a typo in a file is an error. Keys are digests of the
canonical form, so it must never depend on the order of fields.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks.errors import Corrupt

SHOWN_FIELDS = 5
"""How many wrong fields a message names. Further ones are only counted."""


def _finite(value: Any) -> Any:
    """Raise ValueError for NaN and infinity at any depth, because JSON cannot represent them."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for item in inner:
        _finite(item)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A JSON object of any shape, in which all numbers are finite."""


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
        """Parse a text that `to_json` wrote. Raises pydantic.ValidationError with the wrong field."""
        return cls.model_validate_json(text)

    @classmethod
    def read_file(cls, path: Path, what: str, then: str = "make it again with 'force'") -> Self:
        """Read and parse a file, as `read` parses a text. Raises Corrupt also if the file cannot be read."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise Corrupt(f"{what} cannot be read: {error.strerror}; {then}.") from error
        return cls.read(text, what, then)

    @classmethod
    def read(cls, text: str | bytes, what: str, then: str = "make it again with 'force'") -> Self:
        """Parse a text that `to_json` wrote.

        what: the name of the text, for the message.
        then: what the user should do if the text is wrong, for the end of the message.

        Raises Corrupt with both and the wrong field.
        """
        try:
            return cls.model_validate_json(text, context=what)
        except ValidationError as error:
            raise Corrupt(f"{what} cannot be read: {explain(error, cls)}; {then}.") from error


def json_text(value: Any) -> str:
    """Return a JSON value as text for people: indented, with sorted keys and a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first wrong fields of a value of the class `model`, each with the reason.

    The text is one line without a full stop.
    """
    items = error.errors(include_url=False, include_context=False, include_input=False)
    # A list whose items are all wrong is reported as too short as well, which is not what is wrong with it.
    places = [item["loc"] for item in items]
    items = [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(len(place) > len(item["loc"]) and place[: len(item["loc"])] == item["loc"] for place in places)
    ]
    shown = [_explain_one(item["type"], item["loc"], item["msg"], model) for item in items[:SHOWN_FIELDS]]
    more = [f"and {len(items) - SHOWN_FIELDS} more"] if len(items) > SHOWN_FIELDS else []
    # The name of a field comes from the input and may contain line ends.
    return "; ".join(shown + more).replace("\n", "\\n")


def _explain_one(kind: str, place: Sequence[int | str], message: str, model: type[BaseModel]) -> str:
    """Return one mistake with its place. Those that people make most often are not told in pydantic's words."""
    if kind == "missing":
        *place, name = place
        said = f"{name!r} is missing"
    elif kind == "extra_forbidden":
        *place, name = place
        near = get_close_matches(str(name), _fields(model, place), n=1)
        said = f"there is no field {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "; remove it")
    elif kind == "tuple_type":
        said = "must be a list, such as [a, b]"
    else:
        said = message.removeprefix("Value error, ").rstrip(".")
    return f"{'.'.join(map(str, place))}: {said}" if place else said


def _fields(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the fields of the object at a place within a value; none where its class cannot be told."""
    for name in place:
        if isinstance(name, str):
            inner = _models(model.model_fields[name].annotation) if name in model.model_fields else []
            if len(inner) != 1:
                return []
            model = inner[0]
    return list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the classes of objects that a type such as `tuple[X | None, ...]` holds."""
    if parts := get_args(annotation):
        return [found for part in parts for found in _models(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def digest_of(value: Any) -> str:
    """Return the sha256 (hex) of a JSON-serializable value's canonical form: sorted keys, no white space, UTF-8."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
