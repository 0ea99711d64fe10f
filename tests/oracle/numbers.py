"""What an evaluation reports, from whole rows of logits in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_STRETCH = 128
"""Rows of a stretch of the long window at least; docs/design.md: `kld_long`."""


FLOAT32 = 2.0**-24
"""The most by which a float32 is rounded, as a share of it."""

STEPS = 16
"""A logit is a sum over the width of the models of the matrix, 256. The roundings of its partial sums are a random walk
of sqrt(256) steps."""


@dataclass(frozen=True)
class Numbers:
    """perplexity: the artifact's; source_perplexity: the source's. kld_mean, kld_median: in nats. top1: a share.

    margins: the distance, in nats, between the two most likely tokens of each row, in the source or in the artifact,
        whichever is smaller. Where it is small, rounding decides which one comes first.
    """

    perplexity: float
    source_perplexity: float
    kld_mean: float
    kld_median: float
    top1: float
    margins: NDArray[np.float64]


def compare(source: NDArray[Any], artifact: NDArray[Any], tokens: NDArray[Any]) -> Numbers:
    """Return the numbers of rows [windows, tokens, vocabulary], where row i of a window predicts its token i + 1.

    The artifact may have more columns than the source. Their probability counts as lost.
    """
    p, q = _log_softmax(source[:, :-1]), _log_softmax(artifact[:, :-1])
    following = tokens[:, 1:, None].astype(np.int64)
    return Numbers(
        perplexity=float(np.exp(-np.take_along_axis(q, following, -1).mean())),
        source_perplexity=float(np.exp(-np.take_along_axis(p, following, -1).mean())),
        kld_mean=float(_divergence(p, q).mean()),
        kld_median=float(np.median(_divergence(p, q))),
        top1=float((p.argmax(-1) == q.argmax(-1)).mean()),
        margins=np.minimum(_margins(p), _margins(q)),
    )


def worst_stretch(source: NDArray[Any], artifact: NDArray[Any], changes: Sequence[int]) -> float:
    """Return the largest mean divergence, in nats a token, of a stretch of one window's rows [tokens, vocabulary].

    changes: the lengths, in tokens, at which the model changes its arithmetic. Stretches lie between them.
    """
    divergence = _divergence(_log_softmax(source[:-1]), _log_softmax(artifact[:-1]))
    cuts = [0]
    for length in changes:
        if length - cuts[-1] >= LEAST_STRETCH and len(divergence) - length >= LEAST_STRETCH:
            cuts.append(length)
    return max(float(part.mean()) for part in np.split(divergence, cuts[1:]))


def rounding(rows: NDArray[Any], precision: float = 0.0) -> float:
    """Return by how much rounding may move a logit of these rows.

    precision: by which share of itself an engine rounds what it multiplies. The error of a sum of such products is
    about this share of the sum, because products and roundings have random signs alike.
    """
    return (STEPS * FLOAT32 + precision) * float(np.abs(rows).max())


def allowed_kld(kld: float, logit: float) -> float:
    """Return by how many nats a mean divergence may move if each logit moves by at most `logit`.

    The derivatives of KL(p || q) by the logits of q are q - p, and by those of p they are p (ln(p / q) - KL). Both have
    sums of absolute values of at most sqrt(2 KL): the first by Pinsker's inequality, the second by that of Cauchy and
    Schwarz where p and q are close. The next term is the second order. The last one is the rounding of the products
    p (ln p - ln q), which the product sums in float32: it counts where KL is nearly 0.
    """
    return float(2 * logit * np.sqrt(2 * kld) + 2 * logit**2 + FLOAT32)


def allowed_perplexity(perplexity: float, logit: float) -> float:
    """Return by how much a perplexity may move if each logit moves by at most `logit`: ln q moves by twice as much."""
    return perplexity * float(np.expm1(2 * logit))


def allowed_top1(margins: NDArray[np.float64], logit: float) -> float:
    """Return the share of rows whose most likely token may change if each logit moves by at most `logit`."""
    return float((margins <= 2 * logit).mean())


def _log_softmax(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = np.asarray(rows, np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    normal: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return normal


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (np.exp(p) * (p - q[..., : p.shape[-1]])).sum(axis=-1)
    return found


def _margins(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    best = np.partition(rows, -2, axis=-1)
    found: NDArray[np.float64] = best[..., -1] - best[..., -2]
    return found
