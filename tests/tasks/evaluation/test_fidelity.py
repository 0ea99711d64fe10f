from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import Corrupt, Unsupported
from tasks.evaluation.bound import Bound
from tasks.evaluation.fidelity import Fidelity, measure_fidelity
from tasks.evaluation.metrics import FIDELITY_METRICS
from tasks.evaluation.reference_reader import open_reference
from tasks.evaluation.stopping import Stopping, spread_order
from tests.tasks.evaluation.toy import (
    VOCABULARY,
    WINDOW_TOKENS,
    WINDOWS,
    Logprobs,
    ToyModel,
    ToyRunner,
    write_reference,
)

ELSEWHERE = {"answer_recall", "reference_answer_recall", "generation_agreement", "kld_long", "context_compared"}
FROM_LOGITS = set(FIDELITY_METRICS) - ELSEWHERE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reference(tmp_path_factory.mktemp("toy") / "reference")


def run(folder: Path, runner: ToyRunner) -> Fidelity:
    return measure_fidelity(runner, open_reference(folder), lambda done, state: None)


def value(found: Fidelity, name: str) -> float:
    return found.metrics[name].value


def test_the_source_against_itself(folder: Path) -> None:
    shares: list[float] = []
    found = measure_fidelity(ToyRunner(), open_reference(folder), lambda done, state: shares.append(done))
    assert set(found.metrics) == FROM_LOGITS
    assert value(found, "kld_max") < 1e-6
    assert value(found, "top1_agreement") == 1
    assert abs(value(found, "delta_ln_perplexity")) < 1e-6
    assert value(found, "perplexity") == pytest.approx(value(found, "reference_perplexity"), rel=1e-6)
    assert found.metrics["kld_mean"].observations == WINDOWS * (WINDOW_TOKENS - 1)
    assert found.notes == ()
    assert shares[-1] == 1


def test_every_number_against_a_direct_computation(folder: Path) -> None:
    reference, other = open_reference(folder), ToyModel(theta=100.0)
    found = run(folder, ToyRunner(other))
    klds, agreements, nlls, source_nlls = [], [], [], []
    for window in reference.tokens:
        p, q = (model.logprobs(window)[:-1].astype(np.float64) for model in (ToyModel(), other))
        klds.append((np.exp(p) * (p - q)).sum(axis=1))
        agreements.append(p.argmax(axis=1) == q.argmax(axis=1))
        rows = np.arange(WINDOW_TOKENS - 1)
        nlls.append(-q[rows, window[1:]])
        source_nlls.append(-p[rows, window[1:]])
    kld, nll, source_nll = np.array(klds), np.array(nlls), np.array(source_nlls)
    expected = {
        "perplexity": np.exp(nll.mean()),
        "reference_perplexity": np.exp(source_nll.mean()),
        "delta_ln_perplexity": (nll - source_nll).mean(),
        "kld_mean": kld.mean(),
        "kld_median": np.median(kld),
        "kld_p99": np.quantile(kld, 0.99),
        "kld_max": kld.max(),
        "top1_agreement": np.mean(agreements),
    }
    for name, number in expected.items():
        assert value(found, name) == pytest.approx(number, rel=1e-4), name
    np.testing.assert_allclose(found.nll_difference, nll - source_nll, atol=1e-4)
    errors = {name: measured.standard_error for name, measured in found.metrics.items()}
    assert errors.pop("kld_max") is None
    assert all(error is not None and error > 0 for error in errors.values())
    assert errors["delta_ln_perplexity"] == pytest.approx((nll - source_nll).mean(axis=1).std(ddof=1) / WINDOWS**0.5)


@pytest.mark.parametrize("block", [1, 3, 32, 33, 1000])
def test_the_engines_blocks_do_not_matter(folder: Path, block: int) -> None:
    usual, other = (run(folder, ToyRunner(ToyModel(5000.0), block=size)) for size in (7, block))
    for name in FROM_LOGITS:
        assert value(usual, name) == pytest.approx(value(other, name), rel=1e-5, abs=1e-6)


def test_a_wrong_rope_base_shows_in_the_divergence_where_the_arg_max_hardly_moves(folder: Path) -> None:
    found = run(folder, ToyRunner(ToyModel(theta=9500.0)))
    assert value(found, "top1_agreement") > 0.97
    assert value(found, "kld_mean") > 1e-5


def test_rows_that_are_shifted_by_one_token_are_far_off(folder: Path) -> None:
    found = run(folder, ToyRunner(distort=lambda rows: np.roll(rows, 1, axis=0)))
    assert value(found, "kld_mean") > 1
    assert value(found, "top1_agreement") < 0.5


def test_two_swapped_rows_show_in_the_maximum(folder: Path) -> None:
    def swap(rows: Logprobs) -> Logprobs:
        rows[[4, 9]] = rows[[9, 4]]
        return rows

    found = run(folder, ToyRunner(distort=swap))
    assert value(found, "kld_median") < 1e-6
    assert value(found, "kld_max") > 0.5


def planted(window: int, token: int, number: float) -> ToyRunner:
    calls: list[int] = []

    def plant(rows: Logprobs) -> Logprobs:
        calls.append(0)
        if len(calls) == window + 1:
            rows[token, 5] = number
        return rows

    return ToyRunner(distort=plant)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(folder: Path, number: float) -> None:
    with pytest.raises(Corrupt, match="Window 2, token 17: the artifact's logits are not finite"):
        run(folder, planted(2, 17, number))


@pytest.mark.parametrize("block", [7, 1])
def test_what_follows_the_last_token_is_not_looked_at(folder: Path, block: int) -> None:
    runner = planted(1, WINDOW_TOKENS - 1, np.nan)
    runner.block = block
    assert value(run(folder, runner), "kld_max") < 1e-6


def test_what_is_added_to_a_whole_row_does_not_matter(folder: Path) -> None:
    usual, other = (run(folder, ToyRunner(ToyModel(100.0), distort=lambda rows: rows + added)) for added in (0, 20))
    for name in FROM_LOGITS:
        assert value(usual, name) == pytest.approx(value(other, name), rel=1e-5, abs=1e-6)


def test_a_truncated_vocabulary_is_refused(folder: Path) -> None:
    runner = ToyRunner()
    runner.vocabulary_size = VOCABULARY - 4
    with pytest.raises(Corrupt, match="vocabulary has 44 tokens and the source's 48"):
        run(folder, runner)


def test_rows_of_another_width_than_the_vocabulary_are_refused(folder: Path) -> None:
    with pytest.raises(Corrupt, match=r"rows of shape \(47,\) for a vocabulary of 48"):
        run(folder, ToyRunner(distort=lambda rows: rows[:, :-1]))


def pad(mass: float) -> ToyRunner:
    def distort(rows: Logprobs) -> Logprobs:
        filler = np.full((len(rows), 16), np.log(mass / 16), np.float32)
        return np.concatenate([rows + np.float32(np.log1p(-mass)), filler], axis=1)

    runner = ToyRunner(distort=distort)
    runner.vocabulary_size = VOCABULARY + 16
    return runner


def test_a_padded_vocabulary_is_reported(folder: Path) -> None:
    found = run(folder, pad(1e-7))
    assert value(found, "kld_max") < 1e-6
    assert found.notes[0].startswith("The artifact's vocabulary is padded from 48 to 64 tokens; at most 1.0e-07")


def test_a_padding_that_takes_mass_is_refused(folder: Path) -> None:
    with pytest.raises(Corrupt, match=r"puts 2\.00% of a row's probability on the 16 ids"):
        run(folder, pad(0.02))


@pytest.mark.parametrize("rows", [WINDOW_TOKENS - 2, WINDOW_TOKENS + 1])
def test_a_wrong_number_of_rows_is_refused(folder: Path, rows: int) -> None:
    with pytest.raises(Corrupt, match=f"gave {rows} rows for {WINDOW_TOKENS} tokens"):
        run(folder, ToyRunner(distort=lambda found: np.resize(found, (rows, VOCABULARY))))


def test_no_rows_are_no_success(folder: Path) -> None:
    class Silent(ToyRunner):
        def logits(self, token_ids: Sequence[int]) -> Iterator[Logprobs]:
            return iter(())

    with pytest.raises(Corrupt, match="gave 0 rows"):
        run(folder, Silent())


def test_a_context_shorter_than_a_window_is_refused(folder: Path) -> None:
    runner = ToyRunner()
    runner.context_length = 16
    with pytest.raises(Unsupported, match=r"lower 'evaluation\.window_tokens'"):
        run(folder, runner)


def test_a_top_k_reference_gives_nearly_the_same_numbers(tmp_path: Path, folder: Path) -> None:
    truncated = write_reference(tmp_path / "top", kept=24)
    exact, bound = (run(place, ToyRunner(ToyModel(theta=100.0))) for place in (folder, truncated))
    for name in ("perplexity", "reference_perplexity", "top1_agreement", "delta_ln_perplexity"):
        assert value(bound, name) == pytest.approx(value(exact, name), rel=1e-5, abs=1e-6)
    assert 0.8 * value(exact, "kld_mean") < value(bound, "kld_mean") <= value(exact, "kld_mean")
    assert value(run(truncated, ToyRunner()), "kld_max") < 1e-6


MANY = 24


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reference(tmp_path_factory.mktemp("many") / "reference", windows=MANY)


class Counting(ToyRunner):
    """Keeps the windows that it reads."""

    def __init__(self, theta: float) -> None:
        super().__init__(ToyModel(theta))
        self.read: list[tuple[int, ...]] = []

    def logits(self, token_ids: Sequence[int]) -> Iterator[Logprobs]:
        self.read.append(tuple(token_ids))
        return super().logits(token_ids)


def bounded(folder: Path, runner: ToyRunner, maximum: float) -> Fidelity:
    stopping = Stopping([Bound(metric="kld_mean", maximum=maximum)], {}, MANY)
    return measure_fidelity(runner, open_reference(folder), lambda done, state: None, stopping)


def test_without_a_rule_all_windows_are_compared_in_the_texts_order(many: Path) -> None:
    runner = Counting(9000.0)
    found = run(many, runner)
    tokens = open_reference(many).tokens
    assert runner.read == [tuple(window) for window in tokens.tolist()]
    assert (found.comparison.windows, found.comparison.available, found.comparison.ended) == (MANY, MANY, "end")
    assert found.comparison.intervals == {}


@pytest.mark.parametrize(("times", "ended"), [(100, "clear"), (0.01, "blocked")])
def test_a_clear_case_reads_only_the_first_windows_of_the_order(many: Path, times: float, ended: str) -> None:
    whole, runner = value(run(many, ToyRunner(ToyModel(9000.0))), "kld_mean"), Counting(9000.0)
    found = bounded(many, runner, times * whole)
    tokens = open_reference(many).tokens
    assert runner.read == [tuple(tokens[window].tolist()) for window in spread_order(MANY)[:8]]
    assert (found.comparison.windows, found.comparison.ended) == (8, ended)
    assert found.metrics["kld_mean"].observations == 8 * (WINDOW_TOKENS - 1)
    assert found.nll_difference.shape == (8, WINDOW_TOKENS - 1)
    interval = found.comparison.intervals["kld_mean"]
    assert interval.high is not None and interval.low < whole < interval.high


def test_a_close_case_reads_all_windows_and_gives_the_same_numbers(many: Path) -> None:
    usual, runner = run(many, ToyRunner(ToyModel(9000.0))), Counting(9000.0)
    found = bounded(many, runner, value(usual, "kld_mean"))
    assert (len(runner.read), found.comparison.windows, found.comparison.ended) == (MANY, MANY, "end")
    for name in FROM_LOGITS:
        assert value(found, name) == pytest.approx(value(usual, name), rel=1e-12), name


def test_the_state_of_the_decision_is_reported(many: Path) -> None:
    told: list[tuple[float, str]] = []
    stopping = Stopping([Bound(metric="kld_mean", maximum=50.0)], {}, MANY)
    reference = open_reference(many)
    measure_fidelity(ToyRunner(ToyModel(9000.0)), reference, lambda done, state: told.append((done, state)), stopping)
    assert told[0] == (2 / MANY, "")
    assert told[-1][0] == 8 / MANY
    assert told[-1][1].startswith("KLD mean ") and told[-1][1].endswith(", bound 50: clear after 8 of 24 windows")
