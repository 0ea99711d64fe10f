from collections.abc import Collection, Sequence

import numpy as np
import pytest

from tasks.engines.runner import Enough, Generation
from tasks.evaluation.bound import Bound
from tasks.evaluation.continuations import answer_recall, asked_questions, generation_agreement
from tasks.evaluation.parameters import ASKED
from tasks.evaluation.reference_files import Generations, read_part
from tests.tasks.evaluation.toy import VOCABULARY, ToyModel, ToyRunner, write_reference


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> Generations:
    return read_part(write_reference(tmp_path_factory.mktemp("toy") / "reference"), "generations.json", Generations)


def test_the_source_says_what_it_said(generations: Generations) -> None:
    measured, notes = generation_agreement(ToyRunner(), generations)
    assert (measured.value, measured.standard_error, notes) == (1, 0, [])
    assert answer_recall(ToyRunner(), generations.questions).value == pytest.approx(
        sum(question.correct for question in generations.questions) / len(generations.questions)
    )


class Saying(ToyRunner):
    """Says the source's tokens, those from `start` up to `stop` changed to `change`."""

    def __init__(self, generations: Generations, start: int, stop: int, change: Sequence[int]) -> None:
        super().__init__()
        self.known = {one.prompt_ids: list(one.token_ids) for one in generations.continuations}
        self.place, self.change = slice(start, stop), list(change)

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
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
    assert generation_agreement(Saying(changed, 3, 3, [0] * 9), changed)[0].value == 0.75


def test_the_note_is_on_the_prompt_of_which_the_least_share_is_equal(generations: Generations) -> None:
    long, short = (
        generations.continuations[place].model_copy(update={"name": name, "token_ids": (1,) * length, "stopped": True})
        for place, (name, length) in enumerate({"long": 7, "short": 3}.items())
    )
    for order in ((long, short), (short, long)):
        changed = generations.model_copy(update={"continuations": order})
        _, notes = generation_agreement(Saying(changed, 2, 3, [VOCABULARY]), changed)
        assert notes == ["Greedy text differs first for prompt 'long': after 2 of 8 tokens."]


def test_a_broken_model_answers_less(generations: Generations) -> None:
    right = answer_recall(ToyRunner(), generations.questions).value
    broken = ToyRunner(ToyModel(), distort=lambda rows: np.roll(rows, 1, axis=1))
    assert answer_recall(broken, generations.questions).value < right


def test_a_text_ends_where_the_artifact_ends_it(generations: Generations) -> None:
    runner = ToyRunner()
    runner.end_ids = frozenset(one.token_ids[0] for one in generations.continuations)
    assert generation_agreement(runner, generations)[0].value == 0
    assert answer_recall(runner, generations.questions).value == 0


def test_an_answer_is_decoded_behind_its_prompt(generations: Generations) -> None:
    class Answering(ToyRunner):
        def continuation_text(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
            return next(one.answer for one in generations.questions if one.prompt_ids == tuple(prompt_ids))

    assert answer_recall(Answering(), generations.questions).value == 1


class Counting(ToyRunner):
    """Counts the tokens that it generates. Its rows are rolled by `shift`, so that it says something else."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__(distort=lambda rows: np.roll(rows, shift, axis=1))
        self.counts: list[int] = []

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        found = super().generate(token_ids, max_tokens, stop_ids, enough)
        self.counts.append(len(found.token_ids))
        return found


def test_nothing_is_generated_beyond_the_first_difference(generations: Generations) -> None:
    same, other = Counting(), Counting(shift=1)
    generation_agreement(same, generations)
    generation_agreement(other, generations)
    assert same.counts == [len(one.token_ids) for one in generations.continuations]
    assert max(same.counts) > 1
    assert max(other.counts) <= 1


def test_nothing_is_generated_beyond_what_decides_an_answer(generations: Generations) -> None:
    questions = tuple(one.model_copy(update={"answer": "none"}) for one in generations.questions)
    runner = Counting()
    answer_recall(runner, questions)
    assert max(runner.counts) < generations.questions[0].max_tokens


def test_where_no_bound_is_on_the_answers_some_are_enough(generations: Generations) -> None:
    many = tuple(generations.questions[0].model_copy(update={"name": str(place)}) for place in range(ASKED * 3 + 1))
    asked = generations.model_copy(update={"questions": many})
    other = Bound(metric="kld_mean", maximum=1.0)
    some = asked_questions(asked, [other])
    assert [int(one.name) for one in some] == [place * len(many) // ASKED for place in range(ASKED)]
    assert asked_questions(asked, []) == many
    assert asked_questions(asked, [other, Bound(metric="answer_recall", minimum=0.5)]) == many
    assert asked_questions(generations, [other]) == generations.questions
