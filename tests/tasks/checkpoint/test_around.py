"""What a tokenizer puts around a text."""

from tasks.checkpoint.around import around


def test_what_stands_around_a_text() -> None:
    assert around([1, 2], [0, 1, 2, 3, 4]) == ((0,), (3, 4))
    assert around([1, 2], [0, 0, 1, 2]) == ((0, 0), ())
    assert around([1, 2], [1, 2]) == around([1, 2], [2, 1]) == ((), ())
