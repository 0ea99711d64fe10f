"""Compares an artifact with the source on one long window, which crosses the lengths at which the model changes.

The other windows of the evaluation text end before most of these lengths. The window is compared stretch by stretch,
and the worst stretch counts: a few tokens beyond a length that an engine gets wrong must not hide among many.
"""

import itertools

import numpy as np

from tasks.engines.runner import Runner
from tasks.evaluation.fidelity import check_rows, row_blocks
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.reference_reader import Reference

LEAST_ROWS = 16
"""Rows of a stretch at least; a shorter one counts with the one before it."""


def measure_long_window(runner: Runner, reference: Reference) -> Measurement:
    """Return the largest mean divergence of a stretch between two lengths of change, in nats a token.

    Raises Corrupt for a broken row.
    """
    kld = np.full(reference.info.window_tokens - 1, np.nan)
    for start, block in row_blocks(runner, reference, 0):
        scores = reference.compare(0, start, block)
        check_rows(scores.kld, "The long window", start)
        kld[start : start + len(block)] = scores.kld
    means = [float(kld[start:stop].mean()) for start, stop in stretches(reference.info.changes_at, len(kld))]
    return Measurement(value=max(means), observations=len(kld))


def stretches(changes: tuple[int, ...], rows: int) -> list[tuple[int, int]]:
    """Return (first row, row after the last) of every stretch. A length of change is the first row that differs."""
    bounds = [0]
    for length in changes:
        if length - bounds[-1] >= LEAST_ROWS and rows - length >= LEAST_ROWS:
            bounds.append(length)
    return list(itertools.pairwise([*bounds, rows]))


def length_note(tokens: int, changes: tuple[int, ...], context_length: int | None) -> str:
    """Return the sentence that says up to which length an artifact was compared.

    tokens: of the longest window. context_length: the source's, None where it names no limit.
    """
    if tokens == context_length:
        return f"The artifact was compared up to {tokens} tokens, the source's whole context."
    context = "a context without limit" if context_length is None else f"the source's context of {context_length}"
    sentence = f"The artifact was compared up to {tokens} tokens of {context}"
    if beyond := [length for length in changes if length >= tokens]:
        sentence += f", and not beyond {', '.join(map(str, beyond))} tokens, where the model changes its arithmetic"
    return f"{sentence}; a larger 'evaluation.long_window_tokens' in the recipe compares more."
