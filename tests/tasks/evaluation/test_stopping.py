"""The comparison of windows ends when it is clear what the gates say, and not before."""

import numpy as np
import pytest

from tasks.evaluation.bound import Bound
from tasks.evaluation.measurement import Comparison, Measurement
from tasks.evaluation.metrics import WINDOW_METRICS
from tasks.evaluation.parameters import LEAST_WINDOWS
from tasks.evaluation.stopping import Stopping, spread_order, stopping_notes
from tasks.evaluation.window_scores import WindowScores

WINDOWS, TOKENS = 40, 255
PARITY = Bound(metric="tokenizer_parity", minimum=1.0)


def scores(kld: float, spread: float = 0.25, windows: int = WINDOWS) -> WindowScores:
    """Return scores whose divergence has this mean; the windows spread by a part of it."""
    random = np.random.default_rng(7)
    levels = kld * (1 + spread * random.standard_normal((windows, 1)))
    divergence = levels * random.gamma(0.5, 2, (windows, TOKENS))
    nll = random.gamma(2, 1, (windows, TOKENS))
    agrees = (random.random((windows, TOKENS)) < 0.95).astype(np.float64)
    return WindowScores(np.abs(divergence), agrees, nll + 0.001 * random.standard_normal(nll.shape), nll)


def at_most(metric: str, limit: float) -> Bound:
    return Bound(metric=metric, maximum=limit)


def end(stopping: Stopping, given: WindowScores) -> tuple[Comparison, str]:
    """Look after every window, as the comparison does, and return what it ends with."""
    seen = None
    for windows in range(1, len(given.kld) + 1):
        seen = stopping.look(given.first(windows))
        if seen and seen[0].ended != "end":
            break
    assert seen is not None
    return seen


def test_the_metrics_of_windows_are_those_that_they_give() -> None:
    assert list(scores(0.01).measurements()) == list(WINDOW_METRICS)


@pytest.mark.parametrize(
    ("kld", "ended", "most"), [(0.001, "clear", 8), (0.03, "clear", 16), (0.15, "blocked", 9), (0.5, "blocked", 8)]
)
def test_a_clear_case_ends_early(kld: float, ended: str, most: int) -> None:
    found, said = end(Stopping([at_most("kld_mean", 0.05)], {}, WINDOWS), scores(kld))
    assert found.ended == ended
    assert LEAST_WINDOWS <= found.windows <= most
    assert found.available == WINDOWS
    assert said.endswith(f", bound 0.05: {ended} after {found.windows} of 40 windows")


def test_a_close_case_goes_on_to_the_last_window() -> None:
    given = scores(0.05)
    bound = at_most("kld_mean", float(given.kld.mean()))
    found, said = end(Stopping([bound], {}, WINDOWS), given)
    assert (found.windows, found.ended) == (WINDOWS, "end")
    assert bound.decided_by(found.intervals["kld_mean"]) == "undecided"
    assert ": open after 40 of 40 windows" in said


def test_the_state_is_said_in_the_metrics_unit() -> None:
    _, said = end(Stopping([Bound(metric="top1_agreement", minimum=0.85)], {}, WINDOWS), scores(0.01))
    low, high = (float(number) for number in said.removeprefix("top-1 agreement ").partition("%")[0].split(" to "))
    assert 85 < low < 95 < high < 100
    assert said.endswith("%, bound 85%: clear after 8 of 40 windows")


def test_all_bounds_must_be_kept() -> None:
    given = scores(0.001)
    close = at_most("delta_ln_perplexity", float((given.nll - given.reference_nll).mean()))
    found, _ = end(Stopping([at_most("kld_mean", 0.05), close], {}, WINDOWS), given)
    assert (found.windows, found.ended) == (WINDOWS, "end")


def test_one_broken_bound_ends_it() -> None:
    given = scores(0.5)
    close = at_most("delta_ln_perplexity", float((given.nll - given.reference_nll).mean()))
    assert end(Stopping([close, at_most("kld_mean", 0.05)], {}, WINDOWS), given)[0].ended == "blocked"


def test_what_another_metric_blocks_needs_only_the_fewest_windows() -> None:
    given = scores(0.05)
    bounds = [at_most("kld_mean", float(given.kld.mean())), PARITY]
    blocked, _ = end(Stopping(bounds, {"tokenizer_parity": Measurement(value=0.99)}, WINDOWS), given)
    assert (blocked.windows, blocked.ended) == (LEAST_WINDOWS, "blocked")
    whole, _ = end(Stopping(bounds, {"tokenizer_parity": Measurement(value=1.0)}, WINDOWS), given)
    assert whole.windows == WINDOWS


def test_without_a_bound_on_windows_all_are_compared() -> None:
    found, said = end(Stopping([PARITY], {}, WINDOWS), scores(0.01))
    assert (found.windows, found.ended, said) == (WINDOWS, "end", "open after 40 of 40 windows")


def test_a_maximum_is_never_certain_before_the_end_but_its_breach_is() -> None:
    given = scores(0.001)
    largest = float(given.kld.max())
    assert end(Stopping([at_most("kld_max", 2 * largest)], {}, WINDOWS), given)[0].ended == "end"
    first = float(given.kld[:LEAST_WINDOWS].max())
    found, said = end(Stopping([at_most("kld_max", first / 2)], {}, WINDOWS), given)
    assert (found.windows, found.ended) == (LEAST_WINDOWS, "blocked")
    assert said.startswith("KLD max, bound ")


def test_more_bounds_make_wider_intervals() -> None:
    """They share the probability of an error."""
    given = scores(0.01)
    bounds = [at_most("kld_mean", 0.05), at_most("kld_p99", 9.0), at_most("kld_median", 9.0), at_most("perplexity", 99)]
    one, four = (end(Stopping(some, {}, WINDOWS), given)[0].intervals["kld_mean"] for some in (bounds[:1], bounds))
    assert one.low > four.low


def test_the_size_of_a_file_does_not_end_its_comparison() -> None:
    """A base that is too large is judged all the same by what it is: other targets are made from it."""
    bounds = [at_most("size_bytes", 1.0), at_most("kld_mean", 0.05)]
    found, _ = end(Stopping(bounds, {"size_bytes": Measurement(value=2.0)}, WINDOWS), scores(0.01))
    assert found.ended == "clear"


def test_the_order_is_the_same_for_ever() -> None:
    assert spread_order(12) == [0, 5, 10, 2, 7, 4, 9, 1, 6, 11, 3, 8]


@pytest.mark.parametrize("windows", [8, 40, 100, 1000])
def test_the_first_windows_lie_evenly_in_the_text(windows: int) -> None:
    order = spread_order(windows)
    assert sorted(order) == list(range(windows))
    for compared in range(LEAST_WINDOWS, windows, 7):
        gaps = np.diff(sorted([*order[:compared], windows]))
        assert gaps.max() <= 4 * windows / compared


def test_the_report_says_why_not_all_windows_were_compared() -> None:
    whole = Comparison(windows=40, available=40, ended="clear")
    assert stopping_notes(whole) == ()
    (clear,) = stopping_notes(whole.model_copy(update={"windows": 8}))
    assert clear == "8 of 40 windows of the evaluation text were compared: they decide every gate."
    (blocked,) = stopping_notes(whole.model_copy(update={"windows": 8, "ended": "blocked"}))
    assert blocked.endswith(": a gate fails already.")
