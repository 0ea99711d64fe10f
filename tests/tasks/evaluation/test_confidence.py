"""The intervals hold however often one looks. Coverage is simulated, with fixed seeds, after every window from the
least on."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation import confidence
from tasks.evaluation.confidence import (
    intervals,
    mean_interval,
    positive_mean_interval,
    quantile_interval,
    share_interval,
)
from tasks.evaluation.critical_value import EFFECT_VARIANCE, critical_value
from tasks.evaluation.measurement import Interval
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.evaluation.stopping import spread_order
from tasks.evaluation.window_scores import WindowScores

Texts = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Texts]

LIMIT, TEXTS = 40, 800
"""Windows of a text, and texts that are simulated. The share of texts that are missed is then good to 0.8 %."""


def gaussian(random: np.random.Generator, texts: int, windows: int) -> Texts:
    return 5 + random.standard_normal((texts, windows))


def gamma(shape: float) -> Draw:
    return lambda random, texts, windows: random.gamma(shape, 1 / shape, (texts, windows))


def lognormal(sigma: float) -> Draw:
    return lambda random, texts, windows: np.exp(sigma * random.standard_normal((texts, windows)) - sigma * sigma / 2)


def tokens(random: np.random.Generator, texts: int, windows: int) -> Texts:
    """Return means of 255 log-normal tokens; each window has a level of its own, as windows of the demo text have."""
    levels = 0.2 * random.standard_normal((texts, windows)) - 0.02
    spread = 1.6
    means = [np.exp(spread * random.standard_normal((windows, 255)) - spread**2 / 2).mean(axis=1) for _ in range(texts)]
    return np.array(means) * np.exp(levels)


def missed(texts: Texts, truth: float, interval: Callable[[Texts, float], Interval], alpha: float = ERROR) -> float:
    """Return the share of texts of which some interval does not hold the truth: one looks after every window."""
    wrong = 0
    for windows in texts:
        values = windows[:, None]
        for count in range(LEAST_WINDOWS, len(windows) + 1):
            found = interval(values[:count], alpha)
            if not found.low <= truth <= (np.inf if found.high is None else found.high):
                wrong += 1
                break
    return wrong / len(texts)


@pytest.mark.parametrize("alpha", [0.05, 0.0125])
def test_a_mean_of_gaussian_windows(alpha: float) -> None:
    texts = gaussian(np.random.default_rng(1), TEXTS, LIMIT)
    assert missed(texts, 5.0, mean_interval, alpha) <= alpha


@pytest.mark.parametrize(
    "draw", [gamma(16), gamma(4), gamma(1), lognormal(0.3), lognormal(0.6), tokens],
    ids=["gamma 16", "gamma 4", "exponential", "log-normal .3", "log-normal .6", "tokens"],
)  # fmt: skip
def test_a_mean_of_skewed_windows(draw: Draw) -> None:
    """Real windows spread by 0.2 to 0.3 of their mean; these spread by 0.25 to 1."""
    assert missed(draw(np.random.default_rng(2), TEXTS, LIMIT), 1.0, positive_mean_interval) <= ERROR


def test_an_interval_for_one_look_would_be_wrong_far_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation notices a rule that looks again and again with the usual 1.96 standard errors."""
    monkeypatch.setattr(confidence, "critical_value", lambda windows, alpha: 1.96)
    assert missed(gaussian(np.random.default_rng(1), TEXTS, LIMIT), 5.0, mean_interval) > 3 * ERROR


def test_without_logarithms_skewed_windows_are_missed_more_often() -> None:
    texts = lognormal(0.6)(np.random.default_rng(2), TEXTS, LIMIT)
    assert missed(texts, 1.0, mean_interval) > ERROR


def by_documents(random: np.random.Generator, length: int, shared: float) -> Texts:
    """Return texts whose documents have `length` windows, which share a part of their variance."""
    documents = np.repeat(random.standard_normal((TEXTS, LIMIT // length)), length, axis=1)
    own = random.standard_normal((TEXTS, LIMIT))
    found: Texts = np.exp(0.3 * (shared**0.5 * documents + (1 - shared) ** 0.5 * own))
    return found


@pytest.mark.parametrize("shared", [0.1, 0.5, 0.8])
def test_documents_do_not_matter_in_the_spread_order(shared: float) -> None:
    texts = by_documents(np.random.default_rng(3), 4, shared)
    texts /= texts.mean(axis=1, keepdims=True)
    assert missed(texts[:, spread_order(LIMIT)], 1.0, positive_mean_interval) <= ERROR


def test_in_the_texts_own_order_documents_mislead() -> None:
    texts = by_documents(np.random.default_rng(3), 4, 0.5)
    texts /= texts.mean(axis=1, keepdims=True)
    assert missed(texts, 1.0, positive_mean_interval) > ERROR


PROSE_AND_CODE = {
    "two halves": lambda place: np.where(place < 0.5, 1.0, 2.0),
    "a harder quarter": lambda place: np.where(place < 0.75, 1.0, 3.0),
    "harder and harder": lambda place: 1 + 2 * place,
}


@pytest.mark.parametrize("level", PROSE_AND_CODE.values(), ids=PROSE_AND_CODE)
def test_where_the_text_changes_the_first_windows_are_a_sample_of_all(level: Callable[[Texts], Texts]) -> None:
    texts = lognormal(0.25)(np.random.default_rng(8), TEXTS, LIMIT) * level(np.arange(LIMIT) / LIMIT)
    texts /= texts.mean(axis=1, keepdims=True)
    assert missed(texts[:, spread_order(LIMIT)], 1.0, positive_mean_interval) <= ERROR
    assert missed(texts, 1.0, positive_mean_interval) > 0.5, "in the text's own order"


def hits(random: np.random.Generator, share: float, spread: float) -> Texts:
    """Return 0 and 1 [windows, 255]; the share of each window varies by `spread` of itself."""
    shares = np.clip(share * (1 + spread * random.standard_normal((LIMIT, 1))), 0, 1)
    return (random.random((LIMIT, 255)) < shares).astype(np.float64)


@pytest.mark.parametrize(("share", "spread"), [(0.95, 0.0), (0.95, 0.02), (0.999, 0.0), (0.5, 0.1)])
def test_a_share(share: float, spread: float) -> None:
    random, wrong, texts = np.random.default_rng(4), 0, 300
    for _ in range(texts):
        values = hits(random, share, spread)
        found = [share_interval(values[:count], ERROR) for count in range(LEAST_WINDOWS, LIMIT + 1, 2)]
        wrong += not all(one.low <= share <= (one.high or 0) for one in found)
    assert wrong / texts <= ERROR


@pytest.mark.parametrize(("quantile", "spread"), [(0.99, 0.0), (0.99, 0.3), (0.5, 0.3)])
def test_a_quantile(quantile: float, spread: float) -> None:
    """The scale of each window varies by the spread, so its tokens beyond the quantile come together."""
    random, wrong, texts = np.random.default_rng(5), 0, 60
    many = np.exp(spread * random.standard_normal((20_000, 1))) * random.lognormal(0, 1.5, (20_000, 50))
    truth = float(np.quantile(many, quantile))
    for _ in range(texts):
        values = np.exp(spread * random.standard_normal((LIMIT, 1))) * random.lognormal(0, 1.5, (LIMIT, 255))
        found = [quantile_interval(values[:count], quantile, ERROR) for count in range(LEAST_WINDOWS, LIMIT + 1, 8)]
        wrong += not all(one.low <= truth <= (np.inf if one.high is None else one.high) for one in found)
    assert wrong / texts <= ERROR


def test_the_critical_value_solves_its_equation() -> None:
    """B(n) of the docstring is 1 / alpha there."""
    r = EFFECT_VARIANCE
    for windows, alpha in ((8, 0.05), (40, 0.0125), (1000, 0.01)):
        t, grown = critical_value(windows, alpha), 1 + windows * r
        ratio = (1 + t * t / (windows - 1)) / (1 + t * t / ((windows - 1) * grown))
        assert grown**-0.5 * ratio ** (windows / 2) == pytest.approx(1 / alpha)


def test_for_many_windows_it_is_the_asymptotic_confidence_sequence() -> None:
    windows, alpha, r = 100_000, 0.05, EFFECT_VARIANCE
    boundary = np.sqrt(2 * (windows * r + 1) / (windows * r) * np.log(np.sqrt(windows * r + 1) / alpha))
    assert critical_value(windows, alpha) == pytest.approx(boundary, rel=1e-3)


@pytest.mark.parametrize("windows", [0, 1, 2])
def test_too_few_windows_exclude_nothing(windows: int) -> None:
    assert critical_value(windows, ERROR) == np.inf


@pytest.mark.parametrize("bounds", [1, 8, 16])
def test_the_least_windows_can_decide(bounds: int) -> None:
    assert critical_value(LEAST_WINDOWS, ERROR / bounds) < 12


def test_numbers_without_any_spread_are_known_only_as_well_as_independent_tokens() -> None:
    ones = np.ones((10, 255))
    found = share_interval(ones, ERROR)
    assert found.high == 1 and 0.98 < found.low < 0.995
    assert quantile_interval(np.zeros((LEAST_WINDOWS, 32)), 0.99, ERROR).high is None, "256 tokens show no p99"
    assert positive_mean_interval(np.zeros((10, 255)), ERROR) == Interval(low=0, high=0)


def test_every_value_lies_in_its_interval() -> None:
    random = np.random.default_rng(6)
    kld, nll = random.lognormal(-4, 1.5, (LIMIT, 255)), random.lognormal(0, 1, (LIMIT, 255))
    agrees = (random.random((LIMIT, 255)) < 0.9).astype(np.float64)
    scores = WindowScores(kld, agrees, nll, nll + 0.01 * random.standard_normal(nll.shape))
    for count in (LEAST_WINDOWS, LIMIT):
        seen = scores.first(count)
        found, values = intervals(seen, 0.01), seen.measurements()
        assert set(found) == set(values) - {"kld_max"}
        for name, one in found.items():
            assert one.low < values[name].value < (np.inf if one.high is None else one.high), name


def test_a_broken_artifact_has_no_upper_end_of_its_perplexity() -> None:
    nll = np.full((LEAST_WINDOWS, 255), 100.0)
    nll[0] = 3000
    found = intervals(WindowScores(nll, np.zeros_like(nll), nll, np.ones_like(nll)), ERROR)["perplexity"]
    assert found.high is None and found.low < np.exp(nll.mean())
