"""The critical value of the intervals that stay valid however often one looks; tasks/evaluation/confidence.py has the
formula and its source.

Imports nothing heavy, because Airflow reads it when it parses a DAG.
"""

import math

EFFECT_VARIANCE = 3.0
"""r of the formula. Between 2 and 5 the interval is narrowest at 8 to 12 windows, where clear cases end. At 40 windows
it is at most 8 % wider than the narrowest."""


def critical_value(windows: int, alpha: float) -> float:
    """Return the largest |t| for which B(n) < 1 / alpha; infinite where the windows are too few to exclude anything."""
    if windows < 2:
        return math.inf
    grown = 1 + windows * EFFECT_VARIANCE
    threshold = (grown / alpha**2) ** (1 / windows)
    if threshold >= grown:
        return math.inf
    return math.sqrt((windows - 1) * (threshold - 1) / (1 - threshold / grown))
