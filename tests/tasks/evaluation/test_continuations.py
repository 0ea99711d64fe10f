from collections.abc import Collection, Sequence

import numpy as np
import pytest

from tasks.engines.runner import Generation
from tasks.evaluation.continuations import answer_recall, generation_agreement
from tasks.evaluation.reference_files import Generations, read_part
from tests.tasks.evaluation.toy import VOCABULARY, ToyModel, ToyRunner, write_reference


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> Generations:
    return read_part(write_reference(tmp_path_factory.mktemp("toy") / "reference"), "generations.json", Generations)


def test_the_source_says_what_it_said(generations: Generations) -> None:
    measured, notes = generation_agreement(ToyRunner(), generations)
    assert (measured.value, measured.standard_error, notes) == (1, 0, [])
    assert answer_recall(ToyRunner(), generations).value == pytest.approx(
        sum(question.correct for question in generations.questions) / len(generations.questions)
    )


class Saying(ToyRunner):
    """Says the source's tokens, those from `start` up to `stop` changed to `change`."""

    def __init__(self, generations: Generations, start: int, stop: int, change: Sequence[int]) -> None:
        super().__init__()
        self.known = {one.prompt_ids: list(one.token_ids) for one in generations.continuations}
        self.place, self.change = slice(start, stop), list(change)

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Collection[int] = ()) -> Generation:
        said = list(self.known[tuple(token_ids)])
        said[self.place] = self.change
        return Generation(said, [0.0] * len(said))


def test_only_what_comes_before_the_first_difference_counts(generations: Generations) -> None:
    whole = sum(len(one.token_ids) + one.stopped for one in generations.continuations)
    measured, notes = generation_agreement(Saying(generations, 3, 4, [VOCABULARY]), generations)
    assert measured.value == pytest.approx(3 * len(generations.continuations) / whole)
    assert "after 3 of" in notes[0]


def test_stopping_too_early_is_a_difference(generations: Generations) -> None:
    measured, _ = generation_agreement(Saying(generations, 3, 99, []), generations)
    assert measured.value < 1


def test_never_stopping_is_a_difference(generations: Generations) -> None:
    one = generations.continuations[0]
    stopped = one.model_copy(update={"token_ids": one.token_ids[:3], "stopped": True})
    changed = generations.model_copy(update={"continuations": (stopped,)})
    assert generation_agreement(Saying(changed, 3, 3, []), changed)[0].value == 1
    assert generation_agreement(Saying(changed, 3, 3, [1] * 9), changed)[0].value == 0.75


def test_a_broken_model_answers_less(generations: Generations) -> None:
    right = answer_recall(ToyRunner(), generations).value
    broken = ToyRunner(ToyModel(), distort=lambda rows: np.roll(rows, 1, axis=1))
    assert answer_recall(broken, generations).value < right
