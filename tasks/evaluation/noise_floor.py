"""Raises a default bound to the source's own noise.

The reference measures how far the source is from itself (tasks/evaluation/source_noise.py). No artifact can be asked to
be closer than that. The bound that is in effect is the default one, or a multiple of the noise, if that is larger.

A bound that a recipe writes itself stays as it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.evaluation.bound import Arithmetic, Bound
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.noise import PREFIX, REPEATED

FACTOR = 1.5
"""Times the noise. The noise is measured on fewer tokens than an artifact, so its standard error is about a tenth; and
an engine adds the same numbers in another order."""

IDENTICAL = "weights_identical"
"""The metric that is 1 if each stored weight is the source's, bit by bit."""

IDENTICAL_FACTOR = 4.0
"""Times the noise, for a file whose weights are the source's. Its divergence can show only the engine's arithmetic, or
a fault of its configuration. A fault must not pass, so there is a limit."""


MOST = 10.0
"""Times the default bound, or its distance from 1, that a floor may reach. A source with more noise is not fit for its
own type, and a bound that followed it would let a wrong artifact pass."""


@dataclass(frozen=True)
class Floor:
    """A bound that the noise allows, in place of a tighter one.

    noise: what the reference measured.
    factor: `bound` is so many times the noise; or, if it is `capped`, MOST times the default bound.
    identical: whether the artifact's weights are the source's.
    """

    bound: Bound
    noise: Measurement
    factor: float
    identical: bool
    capped: bool


def floor_of(bound: Bound, noise: Arithmetic | None, metrics: Mapping[str, Measurement]) -> Floor | None:
    """Return the floor that is in effect instead of a default bound, or None if the bound itself is.

    noise: which noise the bound gives way to.
    metrics: of the artifact, with those of the source's noise; see tasks/evaluation/noise.py.
    """
    measured = _noise(bound.metric, noise, metrics)
    if measured is None:
        return None
    identical = IDENTICAL in metrics and metrics[IDENTICAL].value == 1
    factor = IDENTICAL_FACTOR if identical else FACTOR
    wanted = bound.moved_to(_limit(bound, measured, factor))
    highest = bound.moved_to(_far(bound))
    capped = not highest.holds(wanted.limit)
    floor = highest if capped else wanted
    # Rounded numbers of both kinds: the looser one is the one that the other keeps.
    if floor.limit == bound.limit or not floor.holds(bound.limit):
        return None
    return Floor(floor, measured, factor, identical, capped)


def in_effect(bound: Bound, noise: Arithmetic | None, metrics: Mapping[str, Measurement]) -> Bound:
    """Return the bound that is in effect; see `floor_of`."""
    floor = floor_of(bound, noise, metrics)
    return floor.bound if floor else bound


def _noise(metric: str, noise: Arithmetic | None, metrics: Mapping[str, Measurement]) -> Measurement | None:
    # The divergence of the long window has no noise of its own; that of the other windows stands for it.
    metric = "kld_mean" if metric == "kld_long" else metric
    if noise == "half":
        return metrics.get(f"{PREFIX}{metric}")
    return metrics.get(REPEATED) if noise == "single" and metric == "kld_mean" else None


def _limit(bound: Bound, noise: Measurement, factor: float) -> float:
    """Return the bound that the noise allows. An agreement is bounded by its distance from 1."""
    limit = factor * abs(noise.value) if bound.maximum is not None else 1 - factor * (1 - noise.value)
    return float(f"{limit:.3g}")


def _far(bound: Bound) -> float:
    """Return the loosest bound that a floor may be."""
    limit = MOST * bound.limit if bound.maximum is not None else 1 - MOST * (1 - bound.limit)
    return float(f"{limit:.3g}")
