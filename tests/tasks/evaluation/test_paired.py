"""Two artifacts on the same windows: which is worse is found early where it is clear, and never more often by chance
than it may be."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation.fidelity import compare_windows
from tasks.evaluation.measurement import Comparison, WindowDivergences
from tasks.evaluation.paired import PairedEnding, compare_with, interval_of
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.evaluation.reference_reader import ExactReference, TopKReference, open_reference
from tasks.evaluation.stopping import spread_order
from tests.tasks.evaluation.toy import WINDOW_TOKENS, ToyRunner, write_reference

MANY = 24
SLIGHTLY, BADLY = 0.99, 0.95
"""What the artifacts multiply the source's log-probabilities by."""

Texts = NDArray[np.float64]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ExactReference | TopKReference:
    return open_reference(write_reference(tmp_path_factory.mktemp("toy") / "reference", windows=MANY))


class Counting(ToyRunner):
    """An artifact that counts the windows that it runs."""

    def __init__(self, factor: float) -> None:
        super().__init__(distort=lambda rows: (rows * factor).astype(np.float32))
        self.windows = 0

    def logits(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        self.windows += 1
        return super().logits(token_ids)


class InOrder:
    """Compares so many windows of the order in which evaluations do."""

    def __init__(self, windows: int) -> None:
        self.order = spread_order(MANY)[:windows]

    def look(self, scores: object) -> tuple[Comparison, str] | None:
        return None


def evaluated(reference: ExactReference | TopKReference, factor: float, windows: int = MANY) -> WindowDivergences:
    """Return what the evaluation of an artifact has kept."""
    return compare_windows(Counting(factor), reference, ignore, InOrder(windows)).divergences


def ignore(done: float, state: str) -> None:
    """Report nothing."""


def test_a_target_that_is_clearly_worse_is_found_with_few_windows(reference: ExactReference) -> None:
    control = Counting(SLIGHTLY)
    found = compare_with(evaluated(reference, BADLY), control, reference, ignore)
    assert found.is_worse and found.windows == control.windows == LEAST_WINDOWS
    assert found.above.value == pytest.approx(found.target.value - found.control.value)
    assert found.above.observations == found.control.observations == LEAST_WINDOWS * (WINDOW_TOKENS - 1)
    assert found.interval and 0 < found.interval.low < found.above.value


def test_a_target_that_is_clearly_better_ends_as_early(reference: ExactReference) -> None:
    found = compare_with(evaluated(reference, SLIGHTLY), Counting(BADLY), reference, ignore)
    assert not found.is_worse and found.windows == LEAST_WINDOWS
    assert found.above.value < 0 and found.interval and found.interval.high and found.interval.high < 0


def test_the_same_artifact_is_no_worse_than_itself_on_all_windows_of_the_target(reference: ExactReference) -> None:
    control = Counting(BADLY)
    found = compare_with(evaluated(reference, BADLY, 12), control, reference, ignore)
    assert control.windows == found.windows == 12
    assert found.above.value == 0 and not found.is_worse


def test_the_windows_are_those_of_the_target_in_its_order(reference: ExactReference) -> None:
    """Other windows are harder or easier, so the difference would be that of the windows."""
    kept = evaluated(reference, BADLY)
    shifted = WindowDivergences(windows=(*kept.windows[1:], kept.windows[0]), kld=kept.kld)
    assert compare_with(kept, Counting(BADLY), reference, ignore).above.standard_error == 0
    assert compare_with(shifted, Counting(BADLY), reference, ignore).above.standard_error > 0  # type: ignore[operator]


def test_too_few_windows_decide_nothing(reference: ExactReference) -> None:
    found = compare_with(evaluated(reference, BADLY, LEAST_WINDOWS - 1), Counting(SLIGHTLY), reference, ignore)
    assert found.windows == LEAST_WINDOWS - 1 and found.interval is None and not found.is_worse
    assert found.above.value > 0


def test_progress_says_how_far_both_are_apart(reference: ExactReference) -> None:
    told: list[tuple[float, str]] = []
    compare_with(evaluated(reference, BADLY), Counting(SLIGHTLY), reference, lambda *seen: told.append(seen))
    assert told[-1][0] == pytest.approx(LEAST_WINDOWS / MANY)
    assert told[-1][1].startswith("KLD +") and told[-1][1].endswith("above the control's")


Pair = Callable[[np.random.Generator, tuple[int, int]], Texts]


def gamma(random: np.random.Generator, shape: tuple[int, int]) -> Texts:
    """Return the noise of windows of a text: skewed, as divergences are."""
    return random.gamma(4, 0.25, shape)


def lognormal(random: np.random.Generator, shape: tuple[int, int]) -> Texts:
    return np.exp(0.6 * random.standard_normal(shape) - 0.18)


@pytest.mark.parametrize("noise", [gamma, lognormal])
def test_two_artifacts_that_are_equally_far_are_rarely_told_apart(noise: Pair) -> None:
    """Simulated: a level for each window that both share, and noise of each. One looks after every window."""
    texts, windows = 800, 40
    random = np.random.default_rng(5)
    levels = np.exp(0.3 * random.standard_normal((texts, windows)))
    ours, theirs = (levels * noise(random, (texts, windows)) for _ in range(2))
    wrong = 0
    for difference in ours - theirs:
        looks = (interval_of(difference[:count, None]) for count in range(LEAST_WINDOWS, windows + 1))
        wrong += any(found is not None and found.low > 0 for found in looks)
    assert wrong / texts <= ERROR / 2, "half of the errors lie on either side"


@pytest.mark.parametrize("noise", [gamma, lognormal])
def test_one_that_is_worse_by_a_tenth_is_found_where_the_levels_are_shared(noise: Pair) -> None:
    texts, windows = 200, 40
    random = np.random.default_rng(6)
    levels = np.exp(0.3 * random.standard_normal((texts, windows)))
    shared = levels * noise(random, (texts, windows))
    own = 0.02 * random.standard_normal((texts, windows))
    worse = 1.1 * shared + own
    found = [interval_of(difference[:, None]) for difference in worse - shared]
    assert all(interval is not None and interval.low > 0 for interval in found)


def test_the_end_is_never_before_the_least_windows(reference: ExactReference) -> None:
    ending = PairedEnding(evaluated(reference, BADLY))
    scores = compare_windows(Counting(SLIGHTLY), reference, ignore, InOrder(MANY)).scores
    assert ending.look(scores.first(LEAST_WINDOWS - 1)) is None
    seen = ending.look(scores.first(LEAST_WINDOWS))
    assert seen and seen[0].ended == "clear" and seen[0].available == MANY
