from tasks.source.view.cuts import Difference, quote


def test_a_quoted_text_keeps_its_spaces() -> None:
    assert str(Difference("a  b\t", 1, 40)) == r"1 of 40 texts (the first is 'a  b\t')"


def test_long_runs_are_counted() -> None:
    assert quote("x" + " " * 130 + "y") == "'x[130 times ' ']y'"
    assert quote("x" + "\n" * 70 + "y") == r"'x[70 times '\n']y'"
    assert len(quote("ab" * 1000)) < 310
