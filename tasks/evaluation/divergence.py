"""Computes how far an artifact's next-token distributions are from the source's, row by row.

Let x and y be the two rows of logits, each minus its largest value, and X and Y the sums of exp(x) and exp(y). The
divergence of p = exp(x) / X from q = exp(y) / Y is KL(p || q) = sum(p * (x - y)) + ln Y - ln X. Neither row is
normalized: a float32 normalization over a large vocabulary has an error of about 1e-6, which would hide a small
divergence.

Everything over the vocabulary stays float32, in chunks of few rows. With 152,000 tokens a row has 600 kB, and float64
copies of a block would cost more than the engine's own forward pass.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ELEMENTS = 1 << 19
"""Entries to compare at a time, 2 MB of float32: more leave the processor's caches, fewer pay for numpy's calls."""

Rows = NDArray[np.float32]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class RowScores:
    """What was found for each row: float64 [rows], in nats where not said otherwise.

    kld: NaN or infinite for a broken row.
    excess: the artifact's probability on ids that the source does not have.
    """

    kld: Column
    agrees: NDArray[np.bool_]
    reference_nll: Column
    nll: Column
    excess: Column


def chunk_rows(vocabulary: int) -> int:
    """Return how many rows to compare at a time."""
    return max(1, CHUNK_ELEMENTS // vocabulary)


def compare_rows(source: Rows, artifact: Rows, targets: NDArray[np.int32]) -> RowScores:
    """Compare the source's logits [rows, vocabulary] with an artifact's [rows, vocabulary or more].

    `targets` [rows] are the tokens that followed. The source's logits are overwritten.
    """
    vocabulary, each = source.shape[1], np.arange(len(source))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        best, found = source.argmax(axis=1), artifact.argmax(axis=1)
        peak = artifact[each, found][:, None]
        padding = np.exp(artifact[:, vocabulary:] - peak).sum(axis=1, dtype=np.float64)
        theirs = artifact[:, :vocabulary] - peak
        exponential = np.exp(theirs)
        mass = exponential.sum(axis=1, dtype=np.float64) + padding
        nll = np.log(mass) - theirs[each, targets]

        source -= source[each, best][:, None]
        np.exp(source, out=exponential)
        source_mass = exponential.sum(axis=1, dtype=np.float64)
        reference_nll = np.log(source_mass) - source[each, targets]

        source -= theirs
        weighted = np.einsum("ij,ij->i", exponential, source, dtype=np.float32).astype(np.float64)
        # Rounding may leave some -1e-8 where both agree; a divergence is never negative.
        kld = np.maximum(weighted / source_mass + np.log(mass) - np.log(source_mass), 0.0)
        return RowScores(kld, best == found, reference_nll, nll, padding / mass)


def log_masses(logits: Rows) -> Column:
    """Return the logarithm of the sum of exp(logits) of each row: float64 [rows], what normalizes it."""
    found = np.empty(len(logits), np.float64)
    step = chunk_rows(logits.shape[1])
    for start in range(0, len(logits), step):
        chunk = logits[start : start + step]
        peak = chunk.max(axis=1)
        mass = np.exp(chunk - peak[:, None]).sum(axis=1, dtype=np.float64)
        found[start : start + step] = np.log(mass) + peak
    return found


def compare_top_rows(
    top_ids: NDArray[np.int32],
    top_logprobs: Rows,
    target_nll: Rows,
    logits: Rows,
    targets: NDArray[np.int32],
    vocabulary: int,
) -> RowScores:
    """Compare the source's most likely tokens [rows, kept] and the rest's mass as one bucket with an artifact's logits.

    The divergence is a lower bound of the true one: merging outcomes never adds to it.
    """
    each = np.arange(len(logits))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        normal = log_masses(logits)
        kept = np.take_along_axis(logits, top_ids.astype(np.intp), axis=1) - normal[:, None]
        known = top_logprobs.astype(np.float64)
        probable = np.exp(known)
        rest = np.clip(1.0 - probable.sum(axis=1), 0.0, 1.0)
        # A rest below float32's own rounding is noise, and the logarithm of noise would not be small.
        other_rest = np.maximum(1.0 - np.exp(kept).sum(axis=1), np.finfo(np.float32).eps)
        bucket = np.where(rest > 0, rest * (np.log(np.maximum(rest, 1e-300)) - np.log(other_rest)), 0.0)
        inside = (probable * (known - kept)).sum(axis=1)
        # What was kept is rounded to float32 and may sum to a little more than 1.
        kld = np.maximum(inside + bucket + 1.0 - (probable.sum(axis=1) + rest), 0.0)
        excess = np.exp(logits[:, vocabulary:] - normal[:, None]).sum(axis=1)
    agrees = top_ids[:, 0] == logits.argmax(axis=1)
    return RowScores(kld, agrees, target_nll.astype(np.float64), normal - logits[each, targets], excess)
