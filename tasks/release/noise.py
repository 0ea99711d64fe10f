"""The source's own noise as a release shows it: one line beside the targets, and a band in the picture.

Every evaluation of a release takes the same numbers over from the one reference; see tasks/evaluation/noise.py.
"""

from collections.abc import Mapping

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import NOISE_METRICS
from tasks.evaluation.noise import PREFIX
from tasks.release.record import Release

NAME = "(the source)"
"""The line's name. A target's name has no parentheses."""


def source_noise(release: Release) -> dict[str, Measurement]:
    """Return the noise by the names of its metrics; empty for a release of a reference that did not measure it."""
    for target in release.targets:
        if found := {name: value for name, value in target.metrics.items() if name in NOISE_METRICS}:
            return found
    return {}


def beside_targets(noise: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """Return the noise by the names of the metrics of targets with which it can be compared."""
    return {name.removeprefix(PREFIX): value for name, value in noise.items() if name.startswith(PREFIX)}


def noise_line(dtype: str | None = None) -> str:
    """Return what the line says in place of a verdict. dtype: the type in which the source is stored, if known."""
    return f"its own noise: run in {dtype or 'the type in which it is stored'}, and compared with itself in float32"
