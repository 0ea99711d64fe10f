"""Repetitions as files: one JSON file each, written when measured; a later call goes on where one ended."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.conditions import Conditions
from bench.meter import Metered
from bench.rows import Row
from tasks.model import Model


class Repetition(Model):
    """One measurement: which row and side, the how-manieth, when, under what, and what was found.

    facts: what only this row tells, such as what each step used, or how often the source was read.
    """

    row: str
    side: str
    number: int
    measured: datetime
    conditions: Conditions
    metered: Metered
    facts: dict[str, Any] = {}

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds: of the script its steps' own, to which a whole release adds its servers; of ours, everything."""
        steps = self.facts.get("steps", {})
        if self.side == "ours" or not steps:
            return self.metered.cpu_seconds
        servers = ("s3", "hub") if self.row in ("release", "naive") else ()
        used = sum(float(step["cpu_seconds"]) for step in steps.values())
        return used + sum(self.metered.cpu_by_part.get(part, 0.0) for part in servers)

    @property
    def wall_seconds(self) -> float:
        """Wall seconds: of a run in Airflow its own account, since it is looked at every few seconds only."""
        return float(self.facts.get("seconds", self.metered.wall_seconds))

    @property
    def file_name(self) -> str:
        """Where it is kept."""
        return f"{self.row}--{re.sub(' ', '-', self.side)}--{self.number}.json"


def read_results(folder: Path) -> list[Repetition]:
    """Return all repetitions in a folder, in the order of their names."""
    return [Repetition.from_json(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def of_one_kind(results: Sequence[Repetition]) -> list[Repetition]:
    """Return, of each row, those that were measured under the same conditions as its last one, on the last machine."""
    in_order = sorted(results, key=lambda one: one.measured)
    machine = in_order[-1].conditions.machine if in_order else None
    last = {one.row: one.conditions for one in in_order if one.conditions.machine == machine}
    return [one for one in results if one.row in last and one.conditions.comparable(last[one.row])]


def keep(folder: Path, repetition: Repetition) -> None:
    """Write a repetition's file whole."""
    folder.mkdir(parents=True, exist_ok=True)
    growing = folder / f".{repetition.file_name}"
    growing.write_text(repetition.to_json(), encoding="utf-8")
    growing.replace(folder / repetition.file_name)


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def due(results: list[Repetition], row: Row, wanted: int, conditions: Conditions, again: bool) -> dict[str, list[int]]:
    """Return, for each side of a row, the numbers that are still to be measured.

    What is measured `again` is measured for all sides, next to each other, since it is compared.
    """
    absent = {side: missing(results, row.name, side, wanted, conditions, again) for side in row.sides}
    if again:
        return dict.fromkeys(row.sides, sorted({number for numbers in absent.values() for number in numbers}))
    return absent


def missing(
    results: list[Repetition], row: str, side: str, wanted: int, conditions: Conditions, again: bool
) -> list[int]:
    """Return the numbers (1 to `wanted`) that are still to be measured under these conditions.

    A figure of other code, versions or hardware does not count; one that others disturbed does unless `again`.
    """
    done = {
        found.number
        for found in results
        if (found.row, found.side) == (row, side)
        and conditions.comparable(found.conditions)
        and not (again and found.metered.disturbed)
    }
    return [number for number in range(1, wanted + 1) if number not in done]
