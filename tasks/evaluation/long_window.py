"""Compares an artifact with the source on one long window, which crosses the lengths at which the model changes.

The other windows of the evaluation text end before most of these lengths. The window is compared stretch by stretch,
and the worst stretch counts: a few tokens beyond a length that an engine gets wrong must not hide among many.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from tasks.engines.runner import Runner
from tasks.evaluation.fidelity import check_rows, row_blocks
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.parameters import LONGEST
from tasks.evaluation.reference_reader import Reference
from tasks.evaluation.source_lengths import MARGIN

LEAST_ROWS = 128
"""Rows of a stretch at least, so that no single one decides; a shorter one counts with the one before it."""

TEXT_ENDS = "the evaluation text ends there; a longer one compares more"
MEMORY_ENDS = "the source's logits after more tokens are not kept in memory"
LIMITED = "the artifact's own context ends there"
NOT_ASKED = "'evaluation.long_window_tokens' is 0 in the recipe"


def measure_long_window(runner: Runner, reference: Reference, tokens: int) -> Measurement:
    """Return the largest mean divergence of a stretch between two lengths of change, in nats a token.

    tokens: compare only so many of the window.
    Its standard error is that of the mean of the stretch's rows. Rows of one text depend on each other, so it is too
    small rather than too large.

    Raises Corrupt for a broken row.
    """
    kld = np.full(tokens - 1, np.nan)
    for start, block in row_blocks(runner, reference, 0, tokens):
        scores = reference.compare(0, start, block)
        check_rows(scores.kld, "The long window", start)
        kld[start : start + len(block)] = scores.kld
    parts = [kld[start:stop] for start, stop in stretches(reference.info.changes_at, len(kld))]
    worst = max(parts, key=lambda part: float(part.mean()))
    error = float(worst.std(ddof=1)) / len(worst) ** 0.5 if len(worst) > 1 else None
    return Measurement(value=float(worst.mean()), standard_error=error, observations=len(worst))


def stretches(changes: tuple[int, ...], rows: int) -> list[tuple[int, int]]:
    """Return (first row, row after the last) of every stretch. A length of change is the first row that differs."""
    bounds = [0]
    for length in changes:
        if length - bounds[-1] >= LEAST_ROWS and rows - length >= LEAST_ROWS:
            bounds.append(length)
    return list(itertools.pairwise([*bounds, rows]))


def end_reason(kept: int, packed: int, planned: int, changes: Sequence[int], context_length: int | None) -> str:
    """Return why the long window ends where it does, for `length_note`; empty where it is the whole context.

    All lengths are in tokens. kept: of the stored window; packed: of what was taken from the text; planned: of what the
    recipe and the model ask for.
    """
    if kept == context_length:
        return ""
    if kept < packed:
        return MEMORY_ENDS
    if packed < planned:
        return TEXT_ENDS
    beyond = [length for length in changes if length >= kept]
    if not beyond:
        return "the source's configuration names no greater length at which the arithmetic changes"
    needed = beyond[0] + MARGIN if context_length is None else min(beyond[0] + MARGIN, context_length)
    if needed > LONGEST:
        return "'evaluation.long_window_tokens' cannot be large enough for more"
    return f"'evaluation.long_window_tokens' of {needed} in the recipe compares more"


def length_note(tokens: int, changes: tuple[int, ...], context_length: int | None, reason: str) -> str:
    """Return the sentence that says up to which length an artifact was compared.

    tokens: of the longest window. context_length: the source's, None where it names no limit. reason: why it is not
    longer; empty where that is not known.
    """
    if tokens == context_length:
        return f"The artifact was compared up to {tokens} tokens, the source's whole context."
    context = "a context without limit" if context_length is None else f"the source's context of {context_length}"
    sentence = f"The artifact was compared up to {tokens} tokens of {context}"
    if beyond := [length for length in changes if length >= tokens]:
        sentence += f", and not beyond {', '.join(map(str, beyond))} tokens, where the model changes its arithmetic"
    return f"{sentence}; {reason}." if reason else f"{sentence}."
