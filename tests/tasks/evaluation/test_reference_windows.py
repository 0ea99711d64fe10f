import json
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import InvalidRecipe
from tasks.evaluation.parameters import EvaluationSettings
from tasks.evaluation.reference_windows import TextRecord, first_token_ids, pack_windows, read_records


class Letters:
    """One id per character; on request special tokens before a text and after it."""

    def __init__(self, before: list[int], after: list[int], eos: int | None = 2) -> None:
        self.before, self.after, self.eos_token_id = before, after, eos

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids = [ord(letter) for letter in text]
        return [*self.before, *ids, *self.after] if add_special_tokens else ids


def record(text: str) -> TextRecord:
    return TextRecord("one", text, "", "")


def settings(window_tokens: int, windows: int) -> EvaluationSettings:
    return EvaluationSettings(window_tokens=window_tokens, windows=windows)


@pytest.mark.parametrize(("before", "after"), [([], []), ([1], []), ([1, 1], [2]), ([], [2])])
def test_what_the_tokenizer_puts_first_is_found(before: list[int], after: list[int]) -> None:
    assert first_token_ids(Letters(before, after)) == before


@pytest.mark.parametrize(("eos", "between"), [(2, [2, 1]), (None, [10, 10, 1])])
def test_documents_are_joined_in_order_and_cut_without_overlap(eos: int | None, between: list[int]) -> None:
    texts = ["ab" * 20, "cd" * 25, "ef" * 30]
    stream: list[int] = []
    for text in texts:
        stream += [*map(ord, text), *between]
    windows = pack_windows(Letters([1], [], eos), [record(text) for text in texts], [1], settings(33, 99))
    assert windows.dtype == np.int32
    assert windows.shape == (len(stream) // 32, 33)
    assert (windows[:, 0] == 1).all()
    assert windows[:, 1:].ravel().tolist() == stream[: windows.shape[0] * 32]


def test_no_window_begins_twice() -> None:
    # The second document's own first token falls on the second window's beginning.
    windows = pack_windows(Letters([1], []), [record("a" * 31), record("b" * 40)], [1], settings(33, 2))
    assert windows.tolist() == [[1, *[97] * 31, 2], [1, *[98] * 32]]


def test_no_more_windows_than_asked_for() -> None:
    assert pack_windows(Letters([], []), [record("a" * 999)], [], settings(32, 3)).shape == (3, 32)


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(InvalidRecipe, match="has 11 tokens, fewer than one window of 32"):
        pack_windows(Letters([], []), [record("a" * 10)], [], settings(32, 3))


def test_line_separators_within_a_text_end_no_record(tmp_path: Path) -> None:
    lines = [{"text": "one\u2028two\u0085three"}, {"id": "q", "text": "a b", "prompt": "a", "answer": "b"}]
    (tmp_path / "text.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    assert read_records(tmp_path) == [
        TextRecord("1", "one\u2028two\u0085three", "", ""),
        TextRecord("q", "a b", "a", "b"),
    ]
