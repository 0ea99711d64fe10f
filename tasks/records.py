"""Records: values that stay in the store for years. Every later version of this code must be able to read them.

The text form of a record contains its schema version beside its fields:

    {
     "repository": "acme/tiny",
     "schema": 1,
     ...
    }

Three rules make old and new checkouts compatible:

1. A text without `schema` has version 1: it was written before the field existed.
2. A text of a newer version raises `TooNew`. It is not corrupt; this checkout is too old for it.
3. A text of an older version is translated by `Record.upgrade` and then read.

To change a record's fields: raise its SCHEMA by one, translate earlier versions in `upgrade`, and add golden files of
the new version with `python -m tests.golden.make`. Do this also for a new optional field, because older checkouts
refuse unknown fields. `tests/golden/` contains texts of every version; a test reads all of them.

The version belongs to the text, not to the value. A value in memory always has this checkout's version, so
`model_dump`, comparisons and keys do not contain it.
"""

from typing import Any, ClassVar

from pydantic import ValidationInfo, model_validator

from tasks.errors import TooNew
from tasks.model import Model, json_text

FIELD = "schema"
"""The name of the version in a record's text form."""


class Record(Model):
    """A Model whose text form contains its version, SCHEMA. Subclasses may not have a field named `schema`."""

    SCHEMA: ClassVar[int] = 1

    def to_json(self) -> str:
        """Return the text form, as `Model.to_json` does, with the version."""
        return json_text({FIELD: self.SCHEMA, **self.model_dump(mode="json")})

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:  # noqa: ARG003  # subclasses use it
        """Translate the fields of an earlier `version` into those of SCHEMA. They have not been validated yet."""
        return fields

    @model_validator(mode="before")
    @classmethod
    def _read_version(cls, given: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(given, dict):
            return given
        fields = dict(given)
        version = fields.pop(FIELD, 1)
        if type(version) is not int or version < 1:
            raise ValueError(f"{FIELD} is {version!r}, which is not a version number")
        if version > cls.SCHEMA:
            raise TooNew(
                f"{info.context or cls.__name__} has schema version {version}, but this checkout reads only version "
                f"{cls.SCHEMA}{' and earlier ones' if cls.SCHEMA > 1 else ''}; update this checkout."
            )
        return cls.upgrade(fields, version) if version < cls.SCHEMA else fields
