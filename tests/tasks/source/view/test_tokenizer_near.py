"""Which of transformers' tokenizers is another form of a SentencePiece model, and how many special tokens are tried."""

from collections.abc import Mapping

import pytest

from tasks.checkpoint.parity_texts import SPECIAL_TOKENS
from tasks.source.view.cuts import FEW, Cuts, Difference
from tasks.source.view.tokenizer import FILE, _added_flags, _is_near, _texts

MODEL = "tokenizer.model"
PIECES = {"<s>": 0, "</s>": 1, "a": 2}


class Loaded:
    """Stands for transformers' tokenizer: one token, "a", and what is put before and after a text."""

    def __init__(self, vocabulary: Mapping[str, int], opening: list[int], closing: list[int]) -> None:
        self._vocabulary, self._opening, self._closing = vocabulary, opening, closing

    def get_vocab(self) -> Mapping[str, int]:
        """Return the id of each token."""
        return self._vocabulary

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Return the ids of the text "a"."""
        assert text == "a"
        return [*self._opening, 2, *self._closing] if add_special_tokens else [2]


@pytest.mark.parametrize(
    ("file", "differing", "vocabulary", "opening", "closing", "near"),
    [
        (MODEL, FEW, {**PIECES, "<added>": 3}, [0], [], True),
        (MODEL, 2 * FEW, PIECES, [0], [], False),
        (FILE, FEW, PIECES, [0], [], False),
        (MODEL, FEW, {**PIECES, "a": 1, "</s>": 2}, [0], [], False),
        (MODEL, FEW, {"<s>": 0, "a": 2}, [0], [], False),
        (MODEL, FEW, PIECES, [], [], False),
        (MODEL, FEW, PIECES, [0], [1], False),
    ],
    ids=[
        "another form",
        "more texts differ",
        "the truth is tokenizer.json",
        "other ids",
        "a piece less",
        "does not open texts",
        "closes texts",
    ],
)
def test_another_form_of_a_model_differs_in_few_texts_alone(
    file: str, differing: float, vocabulary: Mapping[str, int], opening: list[int], closing: list[int], near: bool
) -> None:
    truth = Cuts(ids={}, opening=(0,), closing=(), pieces=PIECES)
    difference = Difference("the text", count=round(differing * 1000), of=1000)
    assert _is_near(Loaded(vocabulary, opening, closing), difference, truth, file) == near


def test_of_a_thousand_added_tokens_the_first_ones_and_one_with_other_flags_are_tried() -> None:
    listed = [{"content": f"<reserved {number}>", "rstrip": number == 900} for number in range(1000)]
    texts = _texts(_added_flags({"added_tokens": [listed[0], *listed, "no token", {"content": 5}]}))
    tried = [number for number, token in enumerate(listed) if any(str(token["content"]) in text for text in texts)]
    assert tried == [*range(SPECIAL_TOKENS - 1), 900]
