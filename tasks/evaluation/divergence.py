"""How far an artifact's next-token distributions are from the source's, row by row.

With p the source's and q the artifact's probabilities, KL(p || q) is taken as sum(p * (ln p - ln q)) + sum(q) - sum(p):
the same number where both sum to 1, and blind to first order to rounding in either's normalization, which would
otherwise drown a small divergence (a float32 log-softmax over a large vocabulary is off by some 1e-6).

Everything over the vocabulary stays float32 and in place, in chunks of rows that fit a core's cache: with 152,000
tokens a row is 600 kB, and float64 copies of a block would cost more than the engine's own forward pass.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ELEMENTS = 1 << 18
"""Entries worked on at a time: 1 MB of float32 per buffer, so that two buffers stay in a core's second-level cache."""

Rows = NDArray[np.float32]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class RowScores:
    """What was found for each row: float64 [rows], in nats where not said otherwise.

    total: the sum of the artifact's probabilities, 1 for a distribution; NaN or infinite for a broken row.
    excess: the artifact's mass on ids that the source does not have.
    """

    kld: Column
    agrees: NDArray[np.bool_]
    reference_nll: Column
    nll: Column
    total: Column
    excess: Column


def compare_rows(logits: Rows, logprobs: Rows, targets: NDArray[np.int32]) -> RowScores:
    """Compare the source's logits [rows, vocabulary] with an artifact's log-probabilities [rows, vocabulary or more].

    `targets` [rows] are the tokens that followed. The logits are overwritten.
    """
    rows, vocabulary = logits.shape
    scores = _empty_scores(rows)
    step = max(1, CHUNK_ELEMENTS // vocabulary)
    scratch = np.empty((min(step, rows), vocabulary), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, rows, step):
            chunk = slice(start, min(start + step, rows))
            _compare_chunk(logits[chunk], logprobs[chunk], targets[chunk], scratch[: chunk.stop - start], scores, chunk)
    return scores


def _compare_chunk(
    source: Rows, artifact: Rows, targets: NDArray[np.int32], scratch: Rows, scores: RowScores, chunk: slice
) -> None:
    vocabulary = source.shape[1]
    each = np.arange(len(source))
    best = source.argmax(axis=1)
    scores.agrees[chunk] = best == artifact.argmax(axis=1)
    common = artifact[:, :vocabulary]
    np.exp(common, out=scratch)
    common_mass = scratch.sum(axis=1, dtype=np.float64)
    excess = np.exp(artifact[:, vocabulary:]).sum(axis=1, dtype=np.float64)
    scores.excess[chunk] = excess
    scores.total[chunk] = common_mass + excess
    scores.nll[chunk] = -common[each, targets]

    log_mass = normalize_rows(source, scratch, best)
    scores.reference_nll[chunk] = -source[each, targets]
    np.subtract(source, common, out=source)
    weighted = np.einsum("ij,ij->i", scratch, source, dtype=np.float32).astype(np.float64)
    mass = np.exp(log_mass)
    source_mass = scratch.sum(axis=1, dtype=np.float64) / mass
    # Rounding may leave some -1e-8 where both agree; a divergence is never negative.
    scores.kld[chunk] = np.maximum(weighted / mass + scores.total[chunk] - source_mass, 0.0)


def normalize_rows(logits: Rows, scratch: Rows, best: NDArray[np.intp]) -> Column:
    """Turn logits into log-probabilities in place; `best` [rows] are their largest entries' places.

    Leaves exp(logits - largest) in `scratch` and returns the logarithm of its row sums [rows].
    """
    logits -= logits[np.arange(len(logits)), best][:, None]
    np.exp(logits, out=scratch)
    log_mass: Column = np.log(scratch.sum(axis=1, dtype=np.float64))
    logits -= log_mass.astype(np.float32)[:, None]
    return log_mass


def compare_top_rows(
    top_ids: NDArray[np.int32],
    top_logprobs: Rows,
    target_nll: Rows,
    logprobs: Rows,
    targets: NDArray[np.int32],
    vocabulary: int,
) -> RowScores:
    """Compare the source's most likely tokens [rows, kept] and the rest's mass as one bucket with an artifact's rows.

    The divergence is a lower bound of the true one: merging outcomes never adds to it.
    """
    rows = len(logprobs)
    scores = _empty_scores(rows)
    each = np.arange(rows)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        scores.total[:] = [np.exp(row).sum(dtype=np.float64) for row in logprobs]
        kept = np.take_along_axis(logprobs, top_ids.astype(np.intp), axis=1).astype(np.float64)
        known = top_logprobs.astype(np.float64)
        probable = np.exp(known)
        rest = np.clip(1.0 - probable.sum(axis=1), 0.0, 1.0)
        # A rest below float32's own rounding is noise, and the logarithm of noise would not be small.
        other_rest = np.maximum(scores.total - np.exp(kept).sum(axis=1), np.finfo(np.float32).eps)
        bucket = np.where(rest > 0, rest * (np.log(np.maximum(rest, 1e-300)) - np.log(other_rest)), 0.0)
        inside = (probable * (known - kept)).sum(axis=1)
        scores.kld[:] = np.maximum(inside + bucket + scores.total - (probable.sum(axis=1) + rest), 0.0)
    scores.agrees[:] = top_ids[:, 0] == logprobs.argmax(axis=1)
    scores.reference_nll[:] = target_nll
    scores.nll[:] = -logprobs[each, targets]
    scores.excess[:] = np.exp(logprobs[:, vocabulary:]).sum(axis=1, dtype=np.float64)
    return scores


def _empty_scores(rows: int) -> RowScores:
    columns = [np.empty(rows, np.float64) for _ in range(5)]
    return RowScores(columns[0], np.empty(rows, np.bool_), columns[1], columns[2], columns[3], columns[4])
