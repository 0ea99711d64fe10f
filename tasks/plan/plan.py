"""The plan of a release, and its text form.

For each target and base the plan says whether it will be made, why or why not, and how much disk and memory it needs.
"""

from typing import Any, ClassVar

from tasks.model import Model
from tasks.plan.shared_reasons import first_with
from tasks.records import Record


class PlannedProof(Model):
    """One measurement of a target, in one engine and one pool.

    pool: the pool's name; None if the recipe names no pool and none can run an engine of the target.
    engine: the engine's name; None if the pool cannot run one.
    obstacle: the reason why the target cannot be measured there, a clause without a full stop; None if it can.
    """

    pool: str | None = None
    engine: str | None = None
    obstacle: str | None = None

    @property
    def unproven(self) -> str | None:
        """Why the target is made but not measured there, or None if it is measured."""
        if self.obstacle is None:
            return None
        return f"made and kept, but not measured, because {self.obstacle}"


class PlannedTarget(Model):
    """The plan for one target or base.

    made: whether it will be made.
    reason: the reason why it will be made, or why not; a sentence without a full stop.
    proofs: where it will be measured; empty for a target that is not made and for a base that no engine can run.
    size_bytes, memory_bytes, disk_bytes: predictions, see tasks.formats.base.Prediction; None if there are none. Memory
        and disk suffice for the control of a calibrated target, too.
    """

    name: str
    made: bool
    reason: str
    proofs: tuple[PlannedProof, ...] = ()
    size_bytes: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None

    @property
    def unproven(self) -> str | None:
        """Where and why it cannot be measured, or None if all its proofs are possible."""
        lines = [
            f"{proof.pool}: {proof.unproven}" if proof.pool else proof.unproven
            for proof in self.proofs
            if proof.unproven
        ]
        return f"unproven: {'; '.join(lines)}" if lines else None


class Plan(Record):
    """The plans of all targets and bases, in an order in which they can be made.

    Version 3 has `proofs`. Version 2 had only `unproven` for each target: the reason why it could not be measured.
    Version 1 had no `reference` either.
    """

    SCHEMA: ClassVar[int] = 3

    targets: tuple[PlannedTarget, ...]
    reference: PlannedTarget | None = None
    dry_run: bool = False

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:  # noqa: ARG003  # both are read alike
        """Version 2 did not record pools and engines: a target that could not be measured has one proof, of no pool."""
        targets = fields.get("targets")
        newer = dict(fields)
        if isinstance(targets, list):
            newer["targets"] = [_with_proofs(target) for target in targets]
        if newer.get("reference") is not None:
            newer["reference"] = _with_proofs(newer["reference"])
        return newer

    @property
    def made(self) -> list[PlannedTarget]:
        """The targets and bases that will be made."""
        return [target for target in self.targets if target.made]


def plan_table(plan: Plan) -> list[str]:
    """Return the plan as lines of a text table. Sizes are in MB (10^6 bytes). A long reason is reported once."""
    same = first_with({target.name: target.reason for target in plan.targets if not target.made})
    rows = [("target", "made", "MB", "memory MB", "disk MB", "why")]
    rows += [
        (
            target.name,
            "yes" if target.made else "no",
            _megabytes(target.size_bytes),
            _megabytes(target.memory_bytes),
            _megabytes(target.disk_bytes),
            f"same reason as {same[target.name]}" if target.name in same else target.unproven or target.reason,
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


def _with_proofs(target: Any) -> Any:
    if not isinstance(target, dict):
        return target
    newer = dict(target)
    unproven = newer.pop("unproven", None)
    return {**newer, "proofs": [{"obstacle": unproven}] if unproven is not None else []}


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"
