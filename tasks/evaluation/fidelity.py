"""Runs the evaluation text through an artifact, block by block: perplexity, divergence from the source, agreement."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.engines.runner import Runner
from tasks.errors import Corrupt
from tasks.evaluation.context import check_windows
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_reader import Reference
from tasks.evaluation.uncertainty import exponential, mean_over_windows, quantile_over_windows

EXCESS_TOLERANCE = 1e-3
"""The most probability that a row may give to ids that only pad the vocabulary; more is a conversion fault."""

PROGRESS_LINES = 10
"""About how many times progress is reported."""


@dataclass(frozen=True)
class Fidelity:
    """What the evaluation windows show.

    metrics: by name.
    notes: what a reader needs to judge them.
    nll_difference: the artifact's negative log-likelihood minus the source's, in nats,
        float64 [windows, predicted tokens].
    """

    metrics: dict[str, Measurement]
    notes: tuple[str, ...]
    nll_difference: NDArray[np.float64]


def measure_fidelity(runner: Runner, reference: Reference, progress: Callable[[float], None]) -> Fidelity:
    """Run every window of the reference through the artifact. Every predicted token counts once.

    progress: called with the share that is done, 0 to 1.

    Raises Corrupt for a broken row, with its window and token, and for a vocabulary
    smaller than the source's; Unsupported for a context too short for a window.
    """
    info = reference.info
    _check_fit(runner, reference)
    shape = (info.windows, info.window_tokens - 1)
    kld, agrees, nll, reference_nll = (np.empty(shape, np.float64) for _ in range(4))
    excess = 0.0
    tell = max(1, info.windows // PROGRESS_LINES)
    for window in range(info.windows):
        for start, block in row_blocks(runner, reference, window):
            rows = slice(start, start + len(block))
            scores = reference.compare(window, start, block)
            check_rows(scores.kld, f"Window {window}", start)
            kld[window, rows], agrees[window, rows] = scores.kld, scores.agrees
            nll[window, rows], reference_nll[window, rows] = scores.nll, scores.reference_nll
            excess = max(excess, float(scores.excess.max()))
        if (window + 1) % tell == 0:
            progress((window + 1) / info.windows)
    metrics = {
        "perplexity": exponential(mean_over_windows(nll)),
        "reference_perplexity": exponential(mean_over_windows(reference_nll)),
        "delta_ln_perplexity": mean_over_windows(nll - reference_nll),
        "kld_mean": mean_over_windows(kld),
        "kld_median": quantile_over_windows(kld, 0.5),
        "kld_p99": quantile_over_windows(kld, 0.99),
        "kld_max": Measurement(value=float(kld.max()), observations=kld.size),
        "top1_agreement": mean_over_windows(agrees),
    }
    notes = (*info.notes, *_excess_notes(runner.vocabulary_size, info.vocabulary_size, excess))
    return Fidelity(metrics, notes, nll - reference_nll)


def _check_fit(runner: Runner, reference: Reference) -> None:
    info = reference.info
    if runner.vocabulary_size < info.vocabulary_size:
        raise Corrupt(
            f"The artifact's vocabulary has {runner.vocabulary_size} tokens and the source's {info.vocabulary_size}: "
            "rows of the output head were lost; convert it again from the source."
        )
    check_windows(runner, info)


def row_blocks(
    runner: Runner, reference: Reference, window: int, tokens: int | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first row, rows) as the engine gives them, without the last row: no known token follows it.

    tokens: read only so many of the window; None for all.
    """
    ids = [int(token) for token in reference.tokens[window][:tokens]]
    predicted, seen = len(ids) - 1, 0
    for block in runner.logits(ids):
        if block.ndim != 2 or block.shape[1] != runner.vocabulary_size:
            raise Corrupt(
                f"Window {window}: the engine gave rows of shape {block.shape[1:]} for a vocabulary of "
                f"{runner.vocabulary_size}; check the artifact's runner."
            )
        useful = block[: max(0, predicted - seen)]
        if len(useful):
            yield seen, useful
        seen += len(block)
    if seen != len(ids):
        raise Corrupt(
            f"Window {window}: the engine gave {seen} rows for {len(ids)} tokens; check the artifact's runner."
        )


def check_rows(kld: NDArray[np.float64], window: str, start: int) -> None:
    """Raise Corrupt where a divergence is not finite. `window` names the window, and `start` is its first row here."""
    broken = ~np.isfinite(kld)
    if broken.any():
        token = start + int(broken.argmax())
        raise Corrupt(
            f"{window}, token {token}: the artifact's logits are not finite; "
            "its weights or its arithmetic overflow, so choose another quantization or convert it again."
        )


def _excess_notes(vocabulary: int, expected: int, excess: float) -> tuple[str, ...]:
    if vocabulary == expected:
        return ()
    if excess > EXCESS_TOLERANCE:
        raise Corrupt(
            f"The artifact puts {excess:.2%} of a row's probability on the {vocabulary - expected} ids that the source "
            "does not have; convert it again from the source."
        )
    return (
        f"The artifact's vocabulary is padded from {expected} to {vocabulary} tokens; at most {excess:.1e} of a row's "
        "probability lies on the padding, and counts as lost.",
    )
