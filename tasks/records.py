"""Records: values that stay in the store for years, and that every later version of this code must read.

A record's text form holds the version of its form, beside its fields:

    {
     "repository": "acme/tiny",
     "schema": 1,
     ...
    }

Three rules keep old and new checkouts apart:

1. A text without `schema` is version 1: it was written before the field existed.
2. A text of a newer version is refused with `TooNew`. It is not corrupt: only this checkout is too old for it.
3. A text of an older version is translated by `Record.upgrade`, and read.

To change a record's fields: raise its SCHEMA by one, translate earlier versions in `upgrade`, and add golden files of
the new version with `python -m tests.golden.make`. This holds for a new optional field, too, because older checkouts
refuse fields that they do not know. `tests/golden/` holds texts of every version; a test reads all of them.

The version belongs to the text and not to the value: a value in memory is always of this checkout's version, and
`model_dump`, comparisons and keys know nothing of it.
"""

from typing import Any, ClassVar

from pydantic import ValidationInfo, model_validator

from tasks.errors import TooNew
from tasks.model import Model, json_text

FIELD = "schema"
"""The name of the version in a record's text form."""


class Record(Model):
    """A Model whose text form holds its version, SCHEMA. Subclasses may not have a field of that name."""

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> str:
        """Return the text form, as `Model.to_json` does, with the version."""
        return json_text({FIELD: self.SCHEMA, **self.model_dump(mode="json")})

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:  # noqa: ARG003  # subclasses use it
        """Return the fields as SCHEMA has them for those of an earlier `version`, none of which are checked yet."""
        return fields

    @model_validator(mode="before")
    @classmethod
    def _read_version(cls, given: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(given, dict):
            return given
        fields = dict(given)
        version = fields.pop(FIELD, 1)
        if type(version) is not int or version < 1:
            raise ValueError(f"{FIELD} is {version!r}, which is no version of a record")
        if version > cls.SCHEMA:
            raise TooNew(
                f"{info.context or cls.__name__} has schema version {version}, and this checkout reads only version "
                f"{cls.SCHEMA}{' and earlier ones' if cls.SCHEMA > 1 else ''}; update this checkout."
            )
        return cls.upgrade(fields, version) if version < cls.SCHEMA else fields
