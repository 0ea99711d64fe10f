"""A bound on one metric: what a gate demands of a number, without the reason and the targets that a recipe gives it.

The gates apply bounds to what was measured. `evaluate` gets those of its target, too, so that it knows when it has
compared enough text.
"""

from typing import Literal

from pydantic import model_validator

from tasks.evaluation.measurement import Interval
from tasks.model import Model

Arithmetic = Literal["half", "single"]
"""Which noise of the source a bound gives way to: in the type in which it is stored, or in float32."""


class Bound(Model):
    """The largest or the smallest value that one metric may have."""

    metric: str
    maximum: float | None = None
    minimum: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> "Bound":
        if (self.maximum is None) == (self.minimum is None):
            raise ValueError(f"the gate on {self.metric!r} needs exactly one of 'maximum' and 'minimum'")
        return self

    @property
    def limit(self) -> float:
        """The value of the bound, whichever kind it is."""
        limit = self.maximum if self.maximum is not None else self.minimum
        assert limit is not None
        return limit

    def moved_to(self, limit: float) -> "Bound":
        """Return the same bound with another value, and nothing besides."""
        if self.maximum is not None:
            return Bound(metric=self.metric, maximum=limit)
        return Bound(metric=self.metric, minimum=limit)

    def holds(self, value: float) -> bool:
        """Return whether a value keeps the bound."""
        return value <= self.limit if self.maximum is not None else value >= self.limit

    def decided_by(self, interval: Interval) -> Literal["pass", "fail", "undecided"]:
        """Return what an interval says: a whole interval on one side of the bound decides, another does not."""
        low = self.holds(interval.low)
        high = self.minimum is not None if interval.high is None else self.holds(interval.high)
        return "undecided" if low != high else "pass" if low else "fail"


class DefaultBound(Bound):
    """The bound of a default gate. It gives way to the source's own noise; see tasks/evaluation/noise_floor.py.

    noise: in which arithmetic the target runs; None for a bound that noise does not move.
    """

    noise: Arithmetic | None
