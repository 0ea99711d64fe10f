"""What the comparison of windows gives, token by token, and the metrics that are computed from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.uncertainty import exponential, mean_over_windows, quantile_over_windows

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class WindowScores:
    """Scores of every predicted token, in the order of the comparison: float64 [windows, predicted tokens].

    kld: in nats. agrees: 1 where the most likely token is the source's, else 0. nll, reference_nll: the negative
    log-likelihood of the artifact and of the source, in nats.
    """

    kld: Scores
    agrees: Scores
    nll: Scores
    reference_nll: Scores

    @classmethod
    def empty(cls, windows: int, tokens: int) -> "WindowScores":
        """Return scores that are not yet filled in."""
        return cls(*(np.empty((windows, tokens), np.float64) for _ in range(4)))

    def first(self, windows: int) -> "WindowScores":
        """Return a view of the first windows."""
        return WindowScores(*(one[:windows] for one in (self.kld, self.agrees, self.nll, self.reference_nll)))

    def measurements(self) -> dict[str, Measurement]:
        """Return the metrics, by name."""
        return {
            "perplexity": exponential(mean_over_windows(self.nll)),
            "reference_perplexity": exponential(mean_over_windows(self.reference_nll)),
            "delta_ln_perplexity": mean_over_windows(self.nll - self.reference_nll),
            "kld_mean": mean_over_windows(self.kld),
            "kld_median": quantile_over_windows(self.kld, 0.5),
            "kld_p99": quantile_over_windows(self.kld, 0.99),
            "kld_max": Measurement(value=float(self.kld.max()), observations=self.kld.size),
            "top1_agreement": mean_over_windows(self.agrees),
        }
