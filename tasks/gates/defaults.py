"""The default gates: what `gates: defaults` in a recipe stands for.

The bounds are in defaults.toml, each with its evidence. They depend on the precision of the target, which its format
declares, and on the number of the model's parameters, which is known when a run has analyzed the model.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.evaluation.bound import Arithmetic, Bound, DefaultBound
from tasks.formats.base import Precision
from tasks.gates.verdict import Rule

TABLE = Path(__file__).with_name("defaults.toml")

WORD = "defaults"
"""What a recipe writes."""


class DefaultRule(Rule):
    """A default gate: a rule with a DefaultBound."""

    noise: Arithmetic | None

    @property
    def bound(self) -> Bound:
        """What is demanded of the number, alone."""
        return DefaultBound(metric=self.metric, maximum=self.maximum, minimum=self.minimum, noise=self.noise)


@dataclass(frozen=True)
class Bounds:
    """One row of the table.

    bits: of a stored weight.
    below: the row holds for models of fewer parameters.
    evidence: what the bounds rest on.

    The other fields are bounds of the metrics of that name: nats, and a share.
    """

    bits: int
    below: float
    kld_mean: float
    kld_p99: float
    top1_agreement: float
    delta_ln_perplexity: float
    evidence: str


@dataclass(frozen=True)
class Table:
    """All rows. `weights` are for targets that round weights alone, `activations` for those that round both."""

    weights: tuple[Bounds, ...]
    activations: tuple[Bounds, ...]
    parities: tuple[tuple[str, str], ...]


@cache
def default_table() -> Table:
    """Read the table."""
    told = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    rows = {
        name: tuple(Bounds(**dict(zip(told["columns"], row, strict=True))) for row in told[name])
        for name in ("weights", "activations")
    }
    return Table(**rows, parities=tuple((metric, reason) for metric, reason in told["parities"]))


def size_classes() -> dict[str, float]:
    """Return the classes of models between which bounds differ, in words, each with a number of parameters in it."""
    table = default_table()
    limits = sorted({row.below for row in (*table.weights, *table.activations) if math.isfinite(row.below)})
    return {**{f"below {_count(limit)}": limit - 1 for limit in limits}, "larger": limits[-1]}


def _count(parameters: float) -> str:
    return f"{parameters / 1e9:g} B" if parameters >= 1e9 else f"{parameters / 1e6:g} M"


def bounds_of(precision: Precision, parameters: float) -> Bounds:
    """Return the row of a target: of its bits or the next fewer, or of the fewest bits that the table has."""
    table = default_table()
    rows = [row for row in _rows(table, precision) if parameters < row.below]
    bits = max((row.bits for row in rows if row.bits <= precision.weights), default=min(row.bits for row in rows))
    return min((row for row in rows if row.bits == bits), key=lambda row: row.below)


def _rows(table: Table, precision: Precision) -> tuple[Bounds, ...]:
    return table.weights if precision.activations is None else table.activations


def default_rules(precision: Precision, parameters: float) -> list[DefaultRule]:
    """Return the default gates of a target of a model with so many parameters."""
    row = bounds_of(precision, parameters)
    noise: Arithmetic = "half" if precision.weights <= 16 else "single"
    reason = f"{_what(row, precision)}: {row.evidence}"
    parities = [DefaultRule(metric=name, minimum=1.0, reason=why, noise=None) for name, why in default_table().parities]
    return [
        *parities,
        DefaultRule(metric="kld_mean", maximum=row.kld_mean, reason=reason, noise=noise),
        DefaultRule(metric="kld_long", maximum=row.kld_mean, reason=reason, noise=noise),
        DefaultRule(metric="kld_p99", maximum=row.kld_p99, reason=reason, noise=noise),
        DefaultRule(metric="top1_agreement", minimum=row.top1_agreement, reason=reason, noise=noise),
        DefaultRule(metric="delta_ln_perplexity", maximum=row.delta_ln_perplexity, reason=reason, noise=noise),
    ]


def _what(row: Bounds, precision: Precision) -> str:
    bits = f"{row.bits} bits" if precision.weights >= row.bits else f"below {row.bits} bits as {row.bits} bits"
    return bits if precision.activations is None else f"{bits}, activations rounded to {precision.activations}"
