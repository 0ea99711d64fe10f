"""Sums and differences of small numbers; each split owns its pairs of operands."""

from functools import cache
from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import Fact, owned
from deploy.demo.corpus.splits import Split

LARGEST = 20


@cache
def _numbers() -> tuple[str, ...]:
    return tuple(str(number) for number in range(LARGEST + 1))


@cache
def _pairs(kind: str, split: Split) -> tuple[tuple[int, int], ...]:
    pairs = tuple((int(a), int(b)) for a, b in owned(_numbers(), _numbers(), split))
    return pairs if kind == "add" else tuple((a, b) for a, b in pairs if a >= b)


def arithmetic(rng: Random, split: Split, id: str) -> Document:
    """Write four to seven small sums under a heading; the last one is asked, with each possible result as a choice."""
    draft = Draft(rng, split)
    draft.add(draft.say("arithmetic.intro"))
    for _ in range(rng.choice((4, 5, 6, 7))):
        kind = rng.choice(("add", "subtract"))
        a, b = rng.choice(_pairs(kind, split))
        result = a + b if kind == "add" else a - b
        draft.state(Fact(kind, str(a), str(b)))
        most = 2 * LARGEST if kind == "add" else LARGEST
        choices = [str(number) for number in range(most + 1)]
        draft.ask(draft.choose(f"arithmetic.{kind}"), {"a": str(a), "b": str(b)}, str(result), choices)
    return draft.finish(id, "arithmetic")
