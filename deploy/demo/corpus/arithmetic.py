"""Sums and differences of small numbers. Each split has its own pairs of operands."""

from functools import cache
from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.splits import Split, split_of

LARGEST = 12


@cache
def _pairs(kind: str, split: Split) -> tuple[tuple[int, int], ...]:
    numbers = range(LARGEST + 1)
    return tuple((a, b) for a in numbers for b in numbers if split_of(a, b) is split and (kind == "add" or a >= b))


def arithmetic(rng: Random, split: Split, id: str) -> Document:
    """Write four to seven small sums under a heading; the last one is asked, with each possible result as a choice."""
    draft = Draft(rng, split)
    draft.add(draft.say("arithmetic.intro"))
    for _ in range(rng.choice((4, 5, 6, 7))):
        kind = rng.choice(("add", "subtract"))
        a, b = rng.choice(_pairs(kind, split))
        result = a + b if kind == "add" else a - b
        draft.follow(kind, [str(a), str(b)])
        most = 2 * LARGEST if kind == "add" else LARGEST
        choices = [str(number) for number in range(most + 1)]
        draft.ask(draft.choose(f"arithmetic.{kind}"), {"a": str(a), "b": str(b)}, str(result), choices)
    return draft.finish(id, "arithmetic")
