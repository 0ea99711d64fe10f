"""The oracle's formulas, on distributions that can be computed by hand."""

import numpy as np
import pytest

from tests.oracle import numbers
from tests.oracle.windows import join, windows

HALVES, QUARTER = np.log([0.5, 0.5]), np.log([0.25, 0.75])
TOKENS = np.array([[0, 1, 0]])


def rows(*distributions: np.ndarray) -> np.ndarray:
    """Return rows of one window, each shifted by a constant, and a last one that predicts nothing."""
    return np.array([[one + 3 for one in distributions] + [np.array([9.0, 0.0])]])


def test_every_number_of_two_rows() -> None:
    found = numbers.compare(rows(HALVES, QUARTER), rows(QUARTER, QUARTER), TOKENS)
    # The tokens that follow are 1 and 0.
    assert found.source_perplexity == pytest.approx((0.5 * 0.25) ** -0.5)
    assert found.perplexity == pytest.approx((0.75 * 0.25) ** -0.5)
    divergence = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert found.kld_mean == pytest.approx(divergence / 2)
    assert found.kld_median == pytest.approx(divergence / 2)
    assert found.top1 == 0.5
    assert found.margins == pytest.approx(np.array([[0.0, np.log(3)]]))


def test_probability_on_columns_that_the_source_lacks_is_lost() -> None:
    wide = np.log([0.25, 0.25, 0.5])
    found = numbers.compare(rows(HALVES)[:, :2], np.array([[wide, wide]]), TOKENS[:, :2])
    assert found.kld_mean == pytest.approx(np.log(2))
    assert found.perplexity == pytest.approx(4)


def test_the_worst_stretch_counts_and_short_ones_count_with_the_one_before() -> None:
    source, artifact = np.tile(HALVES, (301, 1)), np.tile(HALVES, (301, 1))
    artifact[150:] = QUARTER
    each = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert numbers.worst_stretch(source, artifact, [150]) == pytest.approx(each)
    for unseen in ([], [100], [200]):
        assert numbers.worst_stretch(source, artifact, unseen) == pytest.approx(each / 2)


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.3])
def test_rounding_moves_no_number_further_than_is_allowed(scale: float) -> None:
    random = np.random.default_rng(3)
    source = random.normal(0, 2, (4, 40, 50))
    artifact = source + random.normal(0, scale, source.shape)
    tokens = random.integers(0, 50, (4, 40))
    exact = numbers.compare(source, artifact, tokens)
    for logit in (1e-4, 1e-3):
        one, other = (each + random.uniform(-logit, logit, each.shape) for each in (source, artifact))
        found = numbers.compare(one, other, tokens)
        assert abs(found.kld_mean - exact.kld_mean) <= numbers.allowed_kld(exact.kld_mean, logit)
        assert abs(found.perplexity - exact.perplexity) <= numbers.allowed_perplexity(exact.perplexity, logit)
        assert abs(found.top1 - exact.top1) <= numbers.allowed_top1(exact.margins, logit)


def test_windows_are_disjoint_and_begin_with_the_opening_once() -> None:
    joined = join(lambda text: [int(digit) for digit in text], ["345", "6", "78"], [0], 1)
    assert joined == [3, 4, 5, 1, 0, 6, 1, 0, 7, 8, 1, 0]
    assert windows(joined, [0], 3, 9).tolist() == [[0, 3, 4], [0, 5, 1], [0, 6, 1], [0, 7, 8], [0, 1, 0]]
    assert windows(joined, [], 5, 2).tolist() == [[3, 4, 5, 1, 0], [6, 1, 0, 7, 8]]
