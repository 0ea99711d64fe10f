"""The source's noise floor as metrics of an evaluation. The reference measured it: tasks/evaluation/source_noise.py.

Imports nothing heavy, because it runs in every engine's runtime.
"""

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_files import Noise

PREFIX = "noise_"
"""Before the name of a metric: the same number of the source itself, in the type in which it is stored."""

REPEATED = "repeat_kld_mean"
"""The metric of two runs in float32."""


def noise_metrics(noise: Noise | None) -> dict[str, Measurement]:
    """Return the metrics that an evaluation takes over; none where the reference has no noise."""
    if noise is None:
        return {}
    return {**{f"{PREFIX}{name}": measured for name, measured in noise.metrics.items()}, REPEATED: noise.repeated}
