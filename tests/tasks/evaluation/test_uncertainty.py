import numpy as np
import pytest

from tasks.evaluation.uncertainty import (
    exponential,
    mean_over_windows,
    quantile_over_windows,
    ratio_of_sums,
    rounded,
    share,
)


def test_the_error_of_a_mean_is_the_spread_of_window_means() -> None:
    values = np.array([[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]])
    measured = mean_over_windows(values)
    assert measured.value == 6
    assert measured.standard_error == pytest.approx(4 / 3**0.5)
    assert measured.observations == 6


def test_tokens_that_repeat_within_a_window_add_no_certainty() -> None:
    window_values = np.random.default_rng(0).standard_normal((40, 1))
    once, often = mean_over_windows(window_values), mean_over_windows(np.repeat(window_values, 100, axis=1))
    assert once.standard_error is not None
    assert often.standard_error == pytest.approx(once.standard_error)


def test_one_window_has_no_error() -> None:
    assert mean_over_windows(np.ones((1, 5))).standard_error is None
    assert quantile_over_windows(np.ones((1, 5)), 0.5).standard_error is None


def test_a_quantiles_error_matches_theory_and_repeats() -> None:
    values = np.random.default_rng(1).uniform(size=(400, 25))
    measured = quantile_over_windows(values, 0.99)
    # Of n independent values with density 1: sqrt(q (1 - q) / n).
    assert measured.standard_error == pytest.approx((0.99 * 0.01 / 10_000) ** 0.5, rel=0.3)
    assert measured == quantile_over_windows(values, 0.99)
    assert measured.value == pytest.approx(0.99, abs=0.004)


def test_shares_and_ratios() -> None:
    assert share(3, 4).standard_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    measured = ratio_of_sums(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    assert (measured.value, measured.observations) == (0.5, 12)
    assert measured.standard_error == pytest.approx(0)
    # With wholes of one size the ratio is a plain mean, and so is its error.
    parts = np.array([1.0, 4.0, 2.0, 5.0])
    plain = ratio_of_sums(parts, np.full(4, 5.0))
    assert plain.standard_error == pytest.approx((parts / 5).std(ddof=1) / 2)


def test_an_exponential_carries_its_error_along() -> None:
    measured = exponential(mean_over_windows(np.array([[0.0], [2.0]])))
    assert measured.value == pytest.approx(np.e)
    assert measured.standard_error == pytest.approx(np.e)


def test_rounding_keeps_five_digits_and_whole_numbers() -> None:
    assert (rounded(0.000123456), rounded(72.8236), rounded(4193001.0)) == (0.00012346, 72.824, 4193001)
