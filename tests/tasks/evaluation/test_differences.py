import pytest

from tasks.evaluation.differences import SAMPLE, find_differences
from tasks.evaluation.parity import cut_texts
from tasks.evaluation.reference_files import ParityCase, ParityTexts
from tests.tasks.evaluation.toy import ToyRunner

CASES = ParityTexts(
    cases=(
        ParityCase(name="equal", text="ab", token_ids=(0, 1)),
        ParityCase(name="other", text="cd", token_ids=(2, 4)),
    ),
    space_mark=False,
)


def test_only_texts_that_are_cut_otherwise_are_kept() -> None:
    found = find_differences(cut_texts(ToyRunner(), CASES), [0.5])
    assert set(found.cuts) == {"other"}
    moved = ToyRunner()
    moved.letters = moved.letters[::-1]
    other = find_differences(cut_texts(moved, CASES), [0.5])
    assert set(other.cuts) == {"equal", "other"}
    assert other.cuts["other"] != found.cuts["other"], "two engines that cut a text in two ways do not agree"


@pytest.mark.parametrize("count", [3, SAMPLE + 3])
def test_the_first_differences_are_kept_to_six_digits(count: int) -> None:
    found = find_differences(cut_texts(ToyRunner(), CASES), [1 / 3] * count)
    assert found.nll == (0.333333,) * min(count, SAMPLE)
