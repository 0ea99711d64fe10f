"""What scan found, as kept in scan.json. Light, because the report reads it."""

from typing import Literal

from tasks.model import Model
from tasks.records import Record


class Check(Model):
    """One check of a snapshot. A failed check ends the scan, so a record holds none.

    detail: what was checked, or why there was nothing to check.
    """

    name: str
    outcome: Literal["passed", "not applicable"]
    detail: str


class ScanRecord(Record):
    """All checks of one snapshot, in the order in which they ran."""

    repository: str
    commit: str
    checks: tuple[Check, ...]
