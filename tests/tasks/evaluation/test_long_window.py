from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.errors import Corrupt
from tasks.evaluation.fidelity import row_blocks
from tasks.evaluation.long_window import (
    MEMORY_ENDS,
    TEXT_ENDS,
    end_reason,
    length_note,
    measure_long_window,
    stretches,
)
from tasks.evaluation.parameters import LONGEST
from tasks.evaluation.reference_reader import Reference, open_long_window
from tasks.evaluation.source_lengths import MARGIN
from tests.tasks.evaluation.toy import LONG_CHANGE, LONG_TOKENS, ToyRunner, write_reference


@pytest.fixture(scope="module", params=[None, 8], ids=["exact", "top-k"])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    reference = open_long_window(write_reference(tmp_path_factory.mktemp("toy") / "reference", kept=request.param))
    assert reference is not None
    return reference


def beyond(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Be wrong beyond the length of change, and exact before."""
    rows = rows.copy()
    rows[LONG_CHANGE:] = np.roll(rows[LONG_CHANGE:], 1, axis=1)
    return rows


def test_the_source_itself_is_as_good_beyond_the_change(long: Reference) -> None:
    measured = measure_long_window(ToyRunner(), long, LONG_TOKENS)
    assert 0 <= measured.value < 1e-6
    assert measured.observations in (LONG_CHANGE, LONG_TOKENS - 1 - LONG_CHANGE)


def test_a_fault_beyond_the_change_is_not_hidden_by_the_tokens_before(long: Reference) -> None:
    worst = measure_long_window(ToyRunner(distort=beyond), long, LONG_TOKENS).value
    whole = measure_long_window(ToyRunner(distort=lambda rows: np.roll(rows, 1, axis=1)), long, LONG_TOKENS).value
    assert worst > 0.5 * whole > 0.1


def test_the_error_is_that_of_the_worst_stretch(long: Reference) -> None:
    measured = measure_long_window(ToyRunner(distort=beyond), long, LONG_TOKENS)
    rows = row_blocks(ToyRunner(distort=beyond), long, 0)
    scores = np.concatenate([long.compare(0, place, block).kld for place, block in rows])[LONG_CHANGE:]
    assert measured.observations == len(scores) == LONG_TOKENS - 1 - LONG_CHANGE
    assert measured.standard_error == pytest.approx(scores.std(ddof=1) / len(scores) ** 0.5)


def test_a_single_row_has_no_error(long: Reference) -> None:
    one, two = (measure_long_window(ToyRunner(), long, tokens) for tokens in (2, 3))
    assert (one.observations, one.standard_error) == (1, None)
    assert two.observations == 2 and two.standard_error is not None


def test_a_row_that_is_not_finite_is_refused(long: Reference) -> None:
    def broken(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = rows.copy()
        rows[LONG_CHANGE + 3] = np.nan
        return rows

    with pytest.raises(Corrupt, match=f"The long window, token {LONG_CHANGE + 3}: the artifact's logits"):
        measure_long_window(ToyRunner(distort=broken), long, LONG_TOKENS)


@pytest.mark.parametrize(
    ("changes", "rows", "found"),
    [
        ((), 100, [(0, 100)]),
        ((300,), 1000, [(0, 300), (300, 1000)]),
        ((128,), 256, [(0, 128), (128, 256)]),
        ((300, 600), 1000, [(0, 300), (300, 600), (600, 1000)]),
        # A stretch of few rows counts with the one before it, as does a length that the window does not reach.
        ((127, 400, 500, 900, 3000), 1000, [(0, 400), (400, 1000)]),
    ],
)
def test_stretches_lie_between_the_changes(changes: tuple[int, ...], rows: int, found: list[tuple[int, int]]) -> None:
    assert stretches(changes, rows) == found


@pytest.mark.parametrize(
    ("tokens", "changes", "context", "reason", "note"),
    [
        (512, (300,), 512, "", "The artifact was compared up to 512 tokens, the source's whole context."),
        (
            2048,
            (1024, 2048, 8192),
            131072,
            "a reason",
            "The artifact was compared up to 2048 tokens of the source's context of 131072, and not beyond 2048, 8192 "
            "tokens, where the model changes its arithmetic; a reason.",
        ),
        (256, (), None, "", "The artifact was compared up to 256 tokens of a context without limit."),
    ],
)
def test_the_note_says_how_far_was_compared(
    tokens: int, changes: tuple[int, ...], context: int | None, reason: str, note: str
) -> None:
    assert length_note(tokens, changes, context, reason) == note


@pytest.mark.parametrize(
    ("kept", "packed", "planned", "changes", "context", "reason"),
    [
        (512, 512, 512, [300], 512, ""),
        (900, 900, 2048, [], 131072, TEXT_ENDS),
        (1700, 2048, 2048, [], 131072, MEMORY_ENDS),
        (
            *(2048, 2048, 2048, [1000], 131072),
            "the source's configuration names no greater length at which the arithmetic changes",
        ),
        (2048, 2048, 2048, [4500, 7600], 8192, "'evaluation.long_window_tokens' of 5012 in the recipe compares more"),
        (2048, 2048, 2048, [4500, 9000], None, "'evaluation.long_window_tokens' of 5012 in the recipe compares more"),
        (2048, 2048, 2048, [2048], None, "'evaluation.long_window_tokens' of 2560 in the recipe compares more"),
        (
            *(2048, 2048, 2048, [LONGEST - MARGIN], None),
            f"'evaluation.long_window_tokens' of {LONGEST} in the recipe compares more",
        ),
        (2048, 2048, 2048, [4500], 4700, "'evaluation.long_window_tokens' of 4700 in the recipe compares more"),
        (2048, 2048, 2048, [262144], None, "'evaluation.long_window_tokens' cannot be large enough for more"),
    ],
)
def test_the_reason_is_what_ended_the_window(
    kept: int, packed: int, planned: int, changes: list[int], context: int | None, reason: str
) -> None:
    assert end_reason(kept, packed, planned, changes, context) == reason


def test_a_reference_without_a_long_window_opens_none(tmp_path: Path) -> None:
    assert open_long_window(write_reference(tmp_path / "toy", long=False)) is None
