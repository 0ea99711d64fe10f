"""An artifact whose context is shorter than the reference needs is refused in one sentence, before it is measured."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from tasks.engines.runner import Enough, Generation
from tasks.errors import Unsupported
from tasks.evaluation.context import check_prompts, check_windows
from tasks.evaluation.measure import measure
from tasks.evaluation.reference_files import Generations, ReferenceInfo, read_part
from tests.tasks.evaluation.toy import WINDOW_TOKENS, Logprobs, ToyRunner, write_reference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reference(tmp_path_factory.mktemp("toy") / "reference")


@pytest.fixture
def info(folder: Path) -> ReferenceInfo:
    return read_part(folder, "reference.json", ReferenceInfo)


@pytest.fixture
def generations(folder: Path) -> Generations:
    return read_part(folder, "generations.json", Generations)


class Short(ToyRunner):
    """An artifact of a short context, which must not be asked anything."""

    def __init__(self, context_length: int) -> None:
        super().__init__()
        self.context_length = context_length

    def logits(self, token_ids: Sequence[int]) -> Iterator[Logprobs]:
        pytest.fail("it was measured")

    def generate(
        self,
        token_ids: Sequence[int],
        max_tokens: int,
        stop_ids: Collection[int] = (),
        enough: Enough | None = None,
    ) -> Generation:
        pytest.fail("it was measured")


def test_the_reference_needs_no_more_than_its_longest_sequence(info: ReferenceInfo, generations: Generations) -> None:
    check_windows(Short(WINDOW_TOKENS), info)
    check_prompts(Short(8 + 12), info, generations)  # prompts of 8 tokens and continuations of 12


def test_a_window_that_does_not_fit_is_reported(info: ReferenceInfo) -> None:
    with pytest.raises(Unsupported) as raised:
        check_windows(Short(WINDOW_TOKENS - 1), info)
    assert str(raised.value) == (
        "The artifact's context holds 32 tokens (the source's holds 512), and a window has 33; "
        "lower 'evaluation.window_tokens' in the recipe, or leave this target out."
    )


def test_a_prompt_whose_continuation_does_not_fit_is_reported(info: ReferenceInfo, generations: Generations) -> None:
    unlimited = info.model_copy(update={"context_length": None})
    with pytest.raises(Unsupported) as raised:
        check_prompts(Short(19), unlimited, generations)
    assert str(raised.value) == (
        "The artifact's context holds 19 tokens (the source's has no limit), and 'prompt 0' with 12 generated tokens "
        "has 20; lower 'evaluation.generated_tokens' in the recipe, or shorten the evaluation text's prompts, "
        "or leave this target out."
    )


def test_a_question_longer_than_the_context_is_reported(info: ReferenceInfo, generations: Generations) -> None:
    long = generations.questions[3].model_copy(update={"prompt_ids": (1,) * 97})
    asked = generations.model_copy(update={"questions": (*generations.questions[:3], long)})
    with pytest.raises(Unsupported, match=r"and the question 'question 3' with its answer has 101; shorten the"):
        check_prompts(Short(100), info, asked)


def test_nothing_is_measured_before_prompts_are_known_to_fit(tmp_path: Path, generations: Generations) -> None:
    folder = write_reference(tmp_path / "reference")
    long = generations.continuations[1].model_copy(update={"prompt_ids": (1,) * 40})
    changed = generations.model_copy(update={"continuations": (generations.continuations[0], long)})
    (folder / "generations.json").write_text(changed.to_json())
    with pytest.raises(Unsupported, match=r"and 'prompt 1' with 12 generated tokens has 52; lower"):
        measure(Short(50), folder, lambda *_: None)


def test_a_question_may_fill_the_context(info: ReferenceInfo, generations: Generations) -> None:
    question = generations.questions[0]
    alone = generations.model_copy(update={"continuations": (), "questions": (question,)})
    needed = len(question.prompt_ids) + question.max_tokens
    check_prompts(Short(needed), info, alone)
    with pytest.raises(Unsupported, match=f"and the question .* has {needed}"):
        check_prompts(Short(needed - 1), info, alone)
