"""What scan found, as it is kept in scan.json; light, for the report reads it."""

from typing import Literal

from tasks.model import Model
from tasks.records import Record


class Check(Model):
    """One check of a snapshot; a failed one ends the scan and so is in no record.

    detail: what was looked at, or why there was nothing to look at.
    """

    name: str
    outcome: Literal["passed", "not applicable"]
    detail: str


class ScanRecord(Record):
    """All checks of one snapshot, in the order in which they ran."""

    repository: str
    commit: str
    checks: tuple[Check, ...]
