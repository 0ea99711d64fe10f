from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.errors import Corrupt, InvalidRecipe, Unmeasured, Unsupported
from tasks.evaluation import continuations
from tasks.evaluation.bound import Bound
from tasks.evaluation.measure import absent_metrics, check_complete, measure
from tasks.evaluation.measurement import Evaluation, Measurement
from tasks.evaluation.metrics import ANSWER_METRICS, FIDELITY_METRICS, PARITY_METRICS, SERVER_PARITY, SIZE_METRICS
from tests.tasks.evaluation.toy import ToyRunner, write_reference

ALL = {*FIDELITY_METRICS, *PARITY_METRICS, *SIZE_METRICS} - {SERVER_PARITY}


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_missing_metric_is_named(name: str) -> None:
    metrics = {known: Measurement(value=1.0) for known in ALL - {name}}
    with pytest.raises(Unmeasured, match=f"^{name} "):
        check_complete(Evaluation(engine="toy 1.0", metrics=metrics), {SERVER_PARITY})


def test_without_template_and_questions_their_metrics_do_not_exist(tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference", chats=False, questions=False, long=False)
    found, _, causes = measure(ToyRunner(), reference, ignore)
    assert causes == dict.fromkeys(ANSWER_METRICS, "the evaluation text asks no questions")
    absent = {"chat_template_parity", "answer_recall", "reference_answer_recall", "kld_long"}
    assert absent_metrics(reference) == absent
    assert set(found.metrics) == ALL - absent - set(SIZE_METRICS)
    assert found.notes == (
        "The artifact was compared up to 33 tokens of the source's context of 512, and not beyond 160 tokens, where "
        "the model changes its arithmetic; 'evaluation.long_window_tokens' is 0 in the recipe.",
        "The evaluation text asks no questions, so answer recall was not measured.",
    )


def test_the_source_answers_the_questions_that_the_artifact_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = write_reference(tmp_path / "reference", windows=8)
    monkeypatch.setattr(continuations, "ASKED", 2)

    def asked(*bounds: Bound) -> set[tuple[float, int]]:
        found, *_ = measure(ToyRunner(), reference, ignore, bounds=bounds)
        metrics = [found.metrics[name] for name in ANSWER_METRICS]
        return {(metric.value, metric.observations) for metric in metrics}

    # The toy's source answers every other question.
    assert asked(Bound(metric="kld_max", maximum=1.0)) == {(0.0, 2)}
    assert asked(Bound(metric="answer_recall", minimum=0.1)) == {(0.5, 8)}


def test_the_long_window_is_compared_to_its_end(tmp_path: Path) -> None:
    shares: list[float] = []
    reference = write_reference(tmp_path / "reference")
    found, *_ = measure(ToyRunner(), reference, lambda said, done: shares.append(done or 0))
    assert shares == sorted(shares) and (shares[0], shares[-1]) == (0, 1)
    assert found.metrics["kld_long"].value < 1e-6
    why = "the evaluation text ends there; a longer one compares more"
    assert found.notes[0] == f"The artifact was compared up to 320 tokens of the source's context of 512; {why}."
    assert found.metrics["context_compared"].value == 320


def test_a_context_that_the_long_window_does_not_fit_is_refused(tmp_path: Path) -> None:
    runner = ToyRunner()
    runner.context_length = 319
    with pytest.raises(Unsupported, match="holds 319 tokens .* and the long window has 320; lower"):
        measure(runner, write_reference(tmp_path / "reference"), ignore)


def test_a_context_that_no_window_fits_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    said: list[str] = []
    runner = ToyRunner()
    runner.context_length = 32
    reference = write_reference(tmp_path / "reference", long=False)
    with pytest.raises(Unsupported, match="holds 32 tokens .* 33"):
        measure(runner, reference, lambda message, done: said.append(message))
    assert said == []


def test_a_context_that_the_conversion_limited_is_compared_to_its_end(tmp_path: Path) -> None:
    """A wrong row beyond the limit is never served, and one before it counts."""

    def beyond(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = rows.copy()
        rows[159:] = np.roll(rows[159:], 1, axis=1)
        return rows

    reference = write_reference(tmp_path / "reference")
    runner = ToyRunner(distort=beyond)
    runner.context_length = 160
    found, *_ = measure(runner, reference, ignore, context_limit=160)
    assert found.metrics["kld_long"].value < 1e-6
    assert found.metrics["kld_long"].observations == 159
    assert found.metrics["context_compared"].value == 160
    assert found.notes[0] == (
        "The artifact was compared up to 160 tokens of the source's context of 512, and not beyond 160 tokens, where "
        "the model changes its arithmetic; the artifact's own context ends there."
    )
    runner.context_length = 159
    with pytest.raises(Unsupported, match="holds 159 tokens .* and the long window has 160; lower"):
        measure(runner, reference, ignore, context_limit=160)


def test_notes_of_all_parts_are_kept(tmp_path: Path) -> None:
    runner = ToyRunner()
    runner.letters = runner.letters[::-1]
    notes = measure(runner, write_reference(tmp_path / "reference"), ignore)[0].notes
    assert any(note.startswith("Tokenizer, text ") for note in notes)


@pytest.mark.parametrize(
    "name", ["reference.json", "generations.json", "parity.json", "served.json", "hidden.npy", "head.npy"]
)
def test_a_reference_that_lacks_a_file_is_refused(tmp_path: Path, name: str) -> None:
    reference = write_reference(tmp_path / "reference")
    (reference / name).unlink()
    with pytest.raises(Corrupt, match=name):
        measure(ToyRunner(), reference, ignore)


def test_windows_come_last_and_a_parity_that_blocks_needs_only_the_fewest(tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference", windows=24)
    bounds = [Bound(metric="kld_max", maximum=9.0), Bound(metric="tokenizer_parity", minimum=1.0)]
    sound, *_ = measure(ToyRunner(), reference, ignore, bounds=bounds)
    assert sound.comparison is not None and sound.comparison.windows == 24
    other = ToyRunner()
    other.letters = other.letters[::-1]
    blocked, *_ = measure(other, reference, ignore, bounds=bounds)
    assert blocked.comparison is not None
    assert (blocked.comparison.windows, blocked.comparison.ended) == (8, "blocked")
    assert "8 of 24 windows of the evaluation text were compared: a gate fails already." in blocked.notes
    assert blocked.differences is not None and len(blocked.differences.nll) == 8 * 32


def test_what_was_known_before_may_block_too(tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference", windows=24)
    bounds = [Bound(metric="kld_max", maximum=9.0), Bound(metric="tensors_faithful", minimum=1)]
    found, *_ = measure(
        ToyRunner(), reference, ignore, bounds=bounds, known={"tensors_faithful": Measurement(value=0.5)}
    )
    assert found.comparison is not None and found.comparison.ended == "blocked"


def test_a_text_of_few_windows_cannot_decide_early(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match=r"fills 5 windows.*set 'stop: never'\.$"):
        reference = write_reference(tmp_path / "reference")
        measure(ToyRunner(), reference, ignore, bounds=[Bound(metric="kld_mean", maximum=1.0)])
    reference = write_reference(tmp_path / "more", windows=8)
    with pytest.raises(InvalidRecipe, match=r"fills 8 windows of 33 tokens, too few to decide the gate on KLD p99"):
        measure(ToyRunner(), reference, ignore, bounds=[Bound(metric="kld_p99", maximum=1.0)])
