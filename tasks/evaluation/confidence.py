"""Intervals that stay valid however often one looks: confidence sequences for means and quantiles over windows.

A usual 95 % interval holds once. Whoever looks after every window and stops as soon as it lies on one side of a bound
is wrong far more often than in 5 % of cases. The intervals here hold at all numbers of windows at once, so one may stop
at any time.

**The formula.** Let m and s be the mean and the standard deviation of n window means, and t = (m - mu) sqrt(n) / s. If
mu is the true mean, and the window means are Gaussian with any standard deviation,

    B(n) = (1 + n r)^(-1/2) * ((1 + t^2 / (n - 1)) / (1 + t^2 / ((n - 1)(1 + n r))))^(n / 2)

is a nonnegative martingale with the expectation 1: a mixture of likelihood ratios over all scales, and over effect
sizes with the variance r. By Ville's inequality, it ever reaches 1 / alpha with a probability of at most alpha. The
interval holds all mu with B(n) < 1 / alpha. Source: Wang and Ramdas, "Anytime-valid t-tests and confidence sequences
for Gaussian means with unknown variance" (2024), after Lai (1976).

**Other distributions.** For many windows the interval becomes the asymptotic confidence sequence of Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of
Statistics, 2024), with rho^2 = r, which needs no Gaussian windows. That one alone is too narrow for the few windows of
an early decision. Simulated for Gaussian means and alpha = 0.05, it is ever wrong in 5 % of cases if one looks from 8
windows on, and in 11 % if one looks from 4 windows on; B(n) is wrong in 2.9 % and 3.7 %.

**Skewed means.** The mean of few divergences is more often too small than too large. Its interval is therefore
symmetric on the scale of logarithms. tests/tasks/evaluation/test_confidence.py measures the coverage.

**What they speak of.** The mean over all windows of this text. In the text's order, neighbours depend on each other: if
four windows at a time share half of their variance, the intervals miss that mean in 10 % of cases, and nearly always if
the text begins with prose and ends with code. The windows are therefore compared in an order that spreads the first
ones evenly over the text (tasks/evaluation/stopping.py); then the intervals miss in less than 1 %. Whether other text
would give another mean, no interval can say.
"""

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.critical_value import critical_value
from tasks.evaluation.measurement import Interval
from tasks.evaluation.window_scores import Scores, WindowScores

LARGEST_EXPONENT = 700.0
"""Of a double, nearly. A broken artifact may give windows whose likelihoods differ by more."""

Means = NDArray[np.float64]


def mean_interval(values: Scores, alpha: float) -> Interval:
    """Return the interval of the mean of values [windows, tokens]."""
    mean, radius = _mean_and_radius(values.mean(axis=1), alpha)
    return Interval(low=mean - radius, high=mean + radius)


def positive_mean_interval(values: Scores, alpha: float) -> Interval:
    """Return the interval of the mean of values [windows, tokens] that are never negative."""
    mean, radius = _mean_and_radius(values.mean(axis=1), alpha)
    if mean == 0:
        return Interval(low=0.0, high=0.0)
    factor = math.exp(radius / mean)
    return Interval(low=mean / factor, high=mean * factor)


def share_interval(hits: Scores, alpha: float) -> Interval:
    """Return the interval of a share, of hits [windows, tokens] that are 0 or 1.

    The windows' shares may all be 1, and then they have no spread. So a share is excluded only if it is also too far
    away for independent tokens: beyond the score interval of Wilson (1927), with the critical value as its z.
    """
    mean, radius = _mean_and_radius(hits.mean(axis=1), alpha)
    z = critical_value(len(hits), alpha)
    square = z * z / hits.size
    middle = (mean + square / 2) / (1 + square)
    reach = math.sqrt(square * mean * (1 - mean) + square * square / 4) / (1 + square)
    return Interval(low=max(0.0, min(mean - radius, middle - reach)), high=min(1.0, max(mean + radius, middle + reach)))


def quantile_interval(values: Scores, quantile: float, alpha: float) -> Interval:
    """Return the interval of a quantile (0 to 1) of values [windows, tokens] that are never negative.

    The quantile is at most b if at most the share 1 - quantile of the tokens lies above b. That share is a mean of
    windows' shares, with at least the spread of independent tokens. The interval begins at the largest observed value
    that is certainly below the quantile, and ends at the smallest that is certainly not; if there is none, it has no
    end.
    """
    tail = 1 - quantile
    least = critical_value(len(values), alpha) * math.sqrt(tail * (1 - tail) / values.size)
    ordered = np.sort(values, axis=None)

    def share_above(place: int) -> tuple[float, float]:
        """Return the lowest and the highest share of tokens that may lie above the value at a place."""
        share, radius = _mean_and_radius((values > ordered[place]).mean(axis=1), alpha)
        return share - max(radius, least), share + max(radius, least)

    places = range(len(ordered))
    low = bisect_left(places, True, key=lambda place: share_above(place)[0] <= tail)
    high = bisect_left(places, True, key=lambda place: share_above(place)[1] <= tail)
    return Interval(
        low=float(ordered[low - 1]) if low else 0.0, high=float(ordered[high]) if high < len(ordered) else None
    )


def intervals(scores: WindowScores, alpha: float) -> dict[str, Interval]:
    """Return the interval of each metric of the windows but the largest divergence: no sample bounds a maximum.

    alpha: the probability, for each metric, that its interval is ever wrong.
    """
    return {
        "perplexity": _exponential(mean_interval(scores.nll, alpha)),
        "reference_perplexity": _exponential(mean_interval(scores.reference_nll, alpha)),
        "delta_ln_perplexity": mean_interval(scores.nll - scores.reference_nll, alpha),
        "kld_mean": positive_mean_interval(scores.kld, alpha),
        "kld_median": quantile_interval(scores.kld, 0.5, alpha),
        "kld_p99": quantile_interval(scores.kld, 0.99, alpha),
        "top1_agreement": share_interval(scores.agrees, alpha),
    }


def _exponential(interval: Interval) -> Interval:
    assert interval.high is not None
    high = math.exp(interval.high) if interval.high < LARGEST_EXPONENT else None
    return Interval(low=math.exp(interval.low), high=high)


def _mean_and_radius(means: Means, alpha: float) -> tuple[float, float]:
    """Return the mean of window means [windows], and how far from it the interval reaches."""
    deviation = float(means.std(ddof=1)) / math.sqrt(len(means))
    return float(means.mean()), critical_value(len(means), alpha) * deviation
