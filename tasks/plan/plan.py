"""The plan of a release, and its text form.

For each target and base the plan says whether it will be made, why or why not, and how much disk and memory it needs.
"""

from typing import ClassVar

from tasks.model import Model
from tasks.records import Record


class PlannedTarget(Model):
    """The plan for one target or base.

    made: whether it will be made.
    reason: the reason why it will be made, or why not; a sentence without a full stop.
    unproven: the reason why it is made but cannot be measured here; None if it can be measured.
    size_bytes, memory_bytes, disk_bytes: predictions, see tasks.formats.base.Prediction; None if there are none.
    """

    name: str
    made: bool
    reason: str
    unproven: str | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


class Plan(Record):
    """The plans of all targets and bases, in an order in which they can be made.

    Version 2 has `reference`, and for each target `unproven`; version 1 is read without them.
    """

    SCHEMA: ClassVar[int] = 2

    targets: tuple[PlannedTarget, ...]
    reference: PlannedTarget | None = None
    dry_run: bool = False

    @property
    def made(self) -> list[PlannedTarget]:
        """The targets and bases that will be made."""
        return [target for target in self.targets if target.made]


def plan_table(plan: Plan) -> list[str]:
    """Return the plan as lines of a text table. Sizes are in MB (10^6 bytes)."""
    rows = [("target", "made", "MB", "memory MB", "disk MB", "why")]
    rows += [
        (
            target.name,
            "yes" if target.made else "no",
            _megabytes(target.size_bytes),
            _megabytes(target.memory_bytes),
            _megabytes(target.disk_bytes),
            target.unproven or target.reason,
        )
        for target in (*([plan.reference] if plan.reference else []), *plan.targets)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  "
        + "  ".join(f"{row[column]:>{widths[column]}}" for column in (2, 3, 4))
        + f"  {row[5]}"
        for row in rows
    ]


def plan_sum(plan: Plan) -> str:
    """Return one line with the number of targets made, their total size, and the largest memory that one needs."""
    made = plan.made
    sizes = sum(target.size_bytes or 0 for target in made)
    memory = max((target.memory_bytes or 0 for target in made), default=0)
    return (
        f"{len(made)} of {len(plan.targets)} are made: {_megabytes(sizes)} MB in all; "
        f"the largest needs {_megabytes(memory)} MB of memory"
    )


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"
