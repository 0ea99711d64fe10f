"""The plan of a release: for every target and base whether it will be made, why or why not, and what it will take."""

from tasks.model import Model
from tasks.records import Record


class PlannedTarget(Model):
    """One target or base.

    reason: why it is made, or why not; a sentence without its full stop.
    unproven: why no engine can measure it here, though it is made; None where one can.
    size_bytes, memory_bytes, disk_bytes: predictions; None where nothing can be predicted.
    """

    name: str
    made: bool
    reason: str
    unproven: str | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


class Plan(Record):
    """All targets and bases in the order in which they can be made."""

    targets: tuple[PlannedTarget, ...]
    dry_run: bool = False

    @property
    def made(self) -> list[PlannedTarget]:
        """What will be made."""
        return [target for target in self.targets if target.made]


def plan_table(plan: Plan) -> list[str]:
    """Return the plan as lines of text in columns, in powers of 1000 (MB)."""
    rows = [("target", "made", "MB", "memory MB", "disk MB", "why")]
    rows += [
        (
            target.name,
            "yes" if target.made else "no",
            _megabytes(target.size_bytes),
            _megabytes(target.memory_bytes),
            _megabytes(target.disk_bytes),
            target.reason,
        )
        for target in plan.targets
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  "
        + "  ".join(f"{row[column]:>{widths[column]}}" for column in (2, 3, 4))
        + f"  {row[5]}"
        for row in rows
    ]


def plan_sum(plan: Plan) -> str:
    """Return one line: how many are made, what they come to, and what the largest of them takes."""
    made = plan.made
    sizes = sum(target.size_bytes or 0 for target in made)
    memory = max((target.memory_bytes or 0 for target in made), default=0)
    return (
        f"{len(made)} of {len(plan.targets)} are made: {_megabytes(sizes)} MB in all; "
        f"the largest needs {_megabytes(memory)} MB of memory"
    )


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"
