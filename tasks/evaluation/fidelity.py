"""Runs the evaluation text through an artifact, block by block: perplexity, divergence from the source, agreement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.engines.runner import GivesLogits
from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.evaluation.context import check_windows
from tasks.evaluation.measurement import Comparison, Measurement, WindowDivergences
from tasks.evaluation.reference_reader import Reference
from tasks.evaluation.window_scores import WindowScores

EXCESS_TOLERANCE = 1e-3
"""The most probability that a row may give to ids that only pad the vocabulary; more is a conversion fault."""

PROGRESS_LINES = 10
"""About how many times progress is reported."""


Progress = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and the state of the decision in words, empty without one."""


class Ending(Protocol):
    """The rule by which a comparison of windows ends."""

    @property
    def order(self) -> Sequence[int]:
        """The windows that may be compared, in this order."""

    def look(self, scores: WindowScores) -> tuple[Comparison, str] | None:
        """Return what the first windows have shown, and the state in words; None where it is too early."""


@dataclass(frozen=True)
class Compared:
    """The windows that were compared.

    windows: their numbers, in the order of the comparison; `scores` are in the same order.
    comparison: how many there are, and what they say of the others.
    excess: the largest probability of a row on ids that only pad the artifact's vocabulary.
    """

    windows: tuple[int, ...]
    scores: WindowScores
    comparison: Comparison
    excess: float

    @property
    def divergences(self) -> WindowDivergences:
        """The mean divergence of each window."""
        return WindowDivergences(windows=self.windows, kld=tuple(self.scores.kld.mean(axis=1).tolist()))


@dataclass(frozen=True)
class Fidelity:
    """What the evaluation windows show.

    metrics: by name.
    notes: what a reader needs to judge them.
    nll_difference: the artifact's negative log-likelihood minus the source's, in nats,
        float64 [compared windows, predicted tokens], in the order of the comparison.
    comparison: how many windows were compared, and what they say of the others.
    divergences: those of the compared windows.
    """

    metrics: dict[str, Measurement]
    notes: tuple[str, ...]
    nll_difference: NDArray[np.float64]
    comparison: Comparison
    divergences: WindowDivergences


def measure_fidelity(
    runner: GivesLogits, reference: Reference, progress: Progress, ending: Ending | None = None
) -> Fidelity:
    """Run windows of the reference through the artifact, and compute the metrics. Raises what `compare_windows` does.

    Raises Corrupt, too, for an artifact that gives much probability to ids that only pad its vocabulary.
    """
    compared = compare_windows(runner, reference, progress, ending)
    info, scores = reference.info, compared.scores
    return Fidelity(
        metrics=scores.measurements(),
        notes=(*info.notes, *_excess_notes(runner.vocabulary_size, info.vocabulary_size, compared.excess)),
        nll_difference=scores.nll - scores.reference_nll,
        comparison=compared.comparison,
        divergences=compared.divergences,
    )


def compare_windows(
    runner: GivesLogits, reference: Reference, progress: Progress, ending: Ending | None = None
) -> Compared:
    """Run windows of the reference through the artifact. Every predicted token counts once.

    ending: decides which windows are compared, and in which order; without it, all of them in the text's order.

    Raises Corrupt for a broken row, with its window and token, and for a vocabulary smaller than the source's;
    Unsupported for a context too short for a window.
    """
    info = reference.info
    _check_fit(runner, reference)
    order = tuple(ending.order if ending else range(info.windows))
    scores = WindowScores.empty(len(order), info.window_tokens - 1)
    comparison = Comparison(windows=len(order), available=len(order), ended="end")
    excess = 0.0
    tell = max(1, len(order) // PROGRESS_LINES)
    for place, window in enumerate(order):
        excess = max(excess, _compare_window(runner, reference, window, place, scores))
        done, state = place + 1, ""
        if ending and (seen := ending.look(scores.first(done))):
            comparison, state = seen
        ended = comparison.windows == done and comparison.ended != "end"
        if done % tell == 0 or ended:
            progress(done / len(order), state)
        if ended:
            break
    return Compared(order[: comparison.windows], scores.first(comparison.windows), comparison, excess)


def _compare_window(runner: GivesLogits, reference: Reference, window: int, place: int, scores: WindowScores) -> float:
    """Write the scores of a window to its place; return the largest probability on ids that only pad the vocabulary."""
    excess = 0.0
    for start, block in row_blocks(runner, reference, window):
        rows = slice(start, start + len(block))
        found = reference.compare(window, start, block)
        check_rows(found.kld, f"Window {window}", start)
        scores.kld[place, rows], scores.agrees[place, rows] = found.kld, found.agrees
        scores.nll[place, rows], scores.reference_nll[place, rows] = found.nll, found.reference_nll
        excess = max(excess, float(found.excess.max()))
    return excess


def _check_fit(runner: GivesLogits, reference: Reference) -> None:
    info = reference.info
    if runner.vocabulary_size < info.vocabulary_size:
        raise Corrupt(
            f"The artifact's vocabulary has {runner.vocabulary_size} tokens and the source's {info.vocabulary_size}: "
            f"rows of the output head were lost; {MAKE_AGAIN}."
        )
    check_windows(runner, info)


def row_blocks(
    runner: GivesLogits, reference: Reference, window: int, tokens: int | None = None
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
            "its weights or its arithmetic overflow, so choose another quantization."
        )


def _excess_notes(vocabulary: int, expected: int, excess: float) -> tuple[str, ...]:
    if vocabulary == expected:
        return ()
    if excess > EXCESS_TOLERANCE:
        raise Corrupt(
            f"The artifact puts {excess:.2%} of a row's probability on the {vocabulary - expected} ids that the source "
            f"does not have; {MAKE_AGAIN}."
        )
    return (
        f"The artifact's vocabulary is padded from {expected} to {vocabulary} tokens; at most {excess:.1e} of a row's "
        "probability lies on the padding, and counts as lost.",
    )
