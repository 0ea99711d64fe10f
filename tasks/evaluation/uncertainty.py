"""Computes standard errors of means and quantiles over tokens.

Tokens of one window depend on each other, so the window is the sampling unit. The error of a mean is the spread of the
window means: the cluster-robust error, for clusters of equal size. The error of a quantile is bootstrapped over
windows.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.measurement import Measurement

BOOTSTRAP_DRAWS = 200
"""Enough for a standard error good to 5 %, its own error being 1 / sqrt(2 * draws)."""

BOOTSTRAP_SEED = 20260101


def mean_over_windows(values: NDArray[np.float64]) -> Measurement:
    """Return the mean of values [windows, tokens] with its clustered standard error, None with a single window."""
    return Measurement(
        value=float(values.mean()), standard_error=_spread_of_means(values.mean(axis=1)), observations=values.size
    )


def quantile_over_windows(values: NDArray[np.float64], quantile: float) -> Measurement:
    """Return a quantile (0 to 1) of values [windows, tokens] with its error by a seeded bootstrap over windows."""
    windows = len(values)
    error = None
    if windows > 1:
        draws = np.random.default_rng(BOOTSTRAP_SEED).integers(0, windows, size=(BOOTSTRAP_DRAWS, windows))
        error = float(np.std([np.quantile(values[draw], quantile) for draw in draws], ddof=1))
    return Measurement(value=float(np.quantile(values, quantile)), standard_error=error, observations=values.size)


def share(hits: int, observations: int) -> Measurement:
    """Return a share of independent trials with its binomial standard error."""
    value = hits / observations
    error = (value * (1 - value) / observations) ** 0.5
    return Measurement(value=value, standard_error=error, observations=observations)


def ratio_of_sums(parts: NDArray[np.float64], wholes: NDArray[np.float64]) -> Measurement:
    """Return sum(parts) / sum(wholes) over clusters [n], with the ratio estimator's standard error (Cochran, 6.4)."""
    ratio = float(parts.sum() / wholes.sum())
    residuals = (parts - ratio * wholes) / wholes.mean()
    return Measurement(value=ratio, standard_error=_spread_of_means(residuals), observations=int(wholes.sum()))


def exponential(measured: Measurement) -> Measurement:
    """Return exp of a measured mean, the error by the delta method: exp(x) times the error of x."""
    value = float(np.exp(measured.value))
    error = None if measured.standard_error is None else value * measured.standard_error
    return Measurement(value=value, standard_error=error, observations=measured.observations)


def rounded(value: float) -> float:
    """Return a value to five significant digits, whole numbers in full, for facts that people read."""
    return value if value.is_integer() else float(f"{value:.5g}")


def _spread_of_means(means: NDArray[np.float64]) -> float | None:
    return float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None
