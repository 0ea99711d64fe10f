"""A mutant lacks exactly one statement, and every statement that refuses goes once."""

from tests.mutants.removals import removals

SOURCE = '''
def check(x):
    """Refuse what is large."""
    if x > 9:
        raise ValueError(
            "too large"
        )
    if x > 8:
        return "rather large"
    note(x)
    return None
'''


def test_each_refusal_and_each_call_goes_once() -> None:
    lost = [set(SOURCE.splitlines()) - set(mutant.splitlines()) for mutant in removals(SOURCE)]
    assert [min(lines).strip() for lines in lost] == ['"too large"', 'return "rather large"', "note(x)"]


def test_what_is_left_compiles() -> None:
    for mutant in removals(SOURCE):
        compile(mutant, "mutant", "exec")
