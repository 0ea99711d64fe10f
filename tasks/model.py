"""The base of all value objects: frozen, strict about unknown fields, with one canonical text form."""

import hashlib
import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Model(BaseModel):
    """A frozen value that refuses unknown fields.

    `from_json(value.to_json())` gives an equal value back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """Return the value as indented JSON with sorted keys, ending in a newline."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse what `to_json` wrote; raises pydantic.ValidationError naming the field that is wrong."""
        return cls.model_validate_json(text)


def explain(error: ValidationError) -> str:
    """Return what is wrong with a value, each field with its reason, in one line without a full stop."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) + ': ' if item['loc'] else ''}"
        f"{item['msg'].removeprefix('Value error, ').rstrip('.')}"
        for item in error.errors()
    )


def digest_of(value: Any) -> str:
    """Return the sha256 (hex) of a JSON-serializable value's canonical form: sorted keys, no white space, UTF-8."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
