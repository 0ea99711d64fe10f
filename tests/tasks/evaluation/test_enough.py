"""A text is refused if it is too short to decide the gates, before anything is made."""

import numpy as np
import pytest

from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound
from tasks.evaluation.confidence import intervals
from tasks.evaluation.enough import check_any_enough, check_enough, fewest_windows, perfect_intervals, undecidable
from tasks.evaluation.parameters import ERROR, LEAST_WINDOWS
from tasks.evaluation.window_scores import WindowScores
from tasks.formats.base import Precision
from tasks.gates.defaults import default_rules


def at_most(metric: str, limit: float) -> Bound:
    return Bound(metric=metric, maximum=limit)


DEFAULT = [
    at_most("kld_mean", 0.008),
    at_most("kld_p99", 0.06),
    Bound(metric="top1_agreement", minimum=0.945),
    at_most("delta_ln_perplexity", 0.008),
]
"""Bounds on windows as the default gates have them."""


@pytest.mark.parametrize("alpha", [ERROR, ERROR / 4, ERROR / 16])
@pytest.mark.parametrize(("windows", "tokens"), [(8, 1), (8, 3), (8, 31), (8, 255), (9, 255), (40, 255), (12, 2047)])
def test_the_intervals_of_a_perfect_artifact_are_those_of_its_scores(windows: int, tokens: int, alpha: float) -> None:
    zeros = np.zeros((windows, tokens))
    found = intervals(WindowScores(kld=zeros, agrees=zeros + 1, nll=zeros, reference_nll=zeros), alpha)
    stated = perfect_intervals(windows, tokens, alpha)
    assert set(stated) == set(found)
    for name, interval in found.items():
        assert stated[name].low == pytest.approx(interval.low, abs=1e-12), name
        assert stated[name].high == pytest.approx(interval.high), name


def test_too_few_windows_decide_nothing() -> None:
    with pytest.raises(InvalidRecipe, match="fills 7 windows, and 'evaluation.stop: early' decides by at least 8"):
        check_enough(LEAST_WINDOWS - 1, 255, ())
    check_enough(LEAST_WINDOWS, 255, (at_most("kld_mean", 0.01),))


def test_a_text_on_which_a_perfect_artifact_could_not_pass_is_refused() -> None:
    with pytest.raises(
        InvalidRecipe, match=r"fills 8 windows of 256 tokens, too few to decide the gate on KLD p99 even"
    ):
        check_enough(8, 255, DEFAULT)
    with pytest.raises(InvalidRecipe, match=r"the gate on KLD p99 of gguf-q8_0 even"):
        check_enough(8, 255, DEFAULT, "gguf-q8_0")
    check_enough(12, 255, DEFAULT)


def test_a_text_that_is_too_short_for_some_targets_is_refused_only_if_it_is_for_all() -> None:
    strict, loose = DEFAULT, (at_most("kld_mean", 0.01),)
    (said,) = check_any_enough(8, 255, {"strict": strict, "loose": loose})
    assert "the gate on KLD p99 of strict even for a perfect artifact" in said
    assert check_any_enough(8, 255, {"loose": loose}) == check_any_enough(8, 255, {}) == []
    with pytest.raises(InvalidRecipe, match="KLD p99 of strict even"):
        check_any_enough(8, 255, {"strict": strict, "other": strict})


@pytest.mark.parametrize(("bits", "windows"), [(4, 10), (8, 10), (16, 10), (32, 16)])
def test_the_default_gates_need_so_many_windows(bits: int, windows: int) -> None:
    """As README.md says."""
    for parameters in (1e6, 1e9, 7e9):
        bounds = [rule.bound for rule in default_rules(Precision(weights=bits), parameters)]
        assert fewest_windows(255, bounds) == windows
        assert undecidable(windows - 1, 255, bounds) and not undecidable(windows, 255, bounds)


def test_bounds_share_the_probability_of_an_error() -> None:
    one, other = at_most("kld_p99", 0.06), at_most("kld_mean", 1.0)
    answers = Bound(metric="answer_recall", minimum=0.9)
    assert fewest_windows(127, [one]) == fewest_windows(127, [one, answers]) == 12, "answers have no windows"
    assert fewest_windows(127, [one, other]) == 14


def test_no_number_of_windows_proves_that_all_tokens_agree() -> None:
    assert fewest_windows(255, [Bound(metric="top1_agreement", minimum=1.0)]) is None
