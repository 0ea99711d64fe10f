"""Facts that a document states and then asks for, drawn from the combinations that a split owns."""

from dataclasses import dataclass
from functools import cache
from random import Random

from deploy.demo.corpus.splits import Split, split_of
from deploy.demo.corpus.world import world

# relation -> (the list its subject is from, the list its value is from)
RELATIONS = {
    "keeps": ("things", "rooms"),
    "colour": ("things", "colours"),
    "home": ("people", "towns"),
    "work": ("people", "jobs"),
    "pet": ("people", "pets"),
    "food": ("people", "foods"),
}


@dataclass(frozen=True)
class Fact:
    """One fact: `value` is what holds for `subject` under `relation`."""

    relation: str
    subject: str
    value: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The combination that only one split may use."""
        return (self.relation, self.subject, self.value)


@cache
def owned(rows: tuple[str, ...], columns: tuple[str, ...], split: Split) -> tuple[tuple[str, str], ...]:
    """Give every (row, column) pair of two word lists that `split` owns, in the lists' order."""
    return tuple((r, c) for i, r in enumerate(rows) for j, c in enumerate(columns) if split_of(i, j) is split)


def distinct(rng: Random, pairs: tuple[tuple[str, str], ...], count: int) -> list[tuple[str, str]]:
    """Draw `count` pairs, none of which shares a subject or a value with another."""
    chosen: list[tuple[str, str]] = []
    for subject, value in rng.sample(pairs, len(pairs)):
        if all(subject != s and value != v for s, v in chosen):
            chosen.append((subject, value))
            if len(chosen) == count:
                return chosen
    raise ValueError(f"{count} distinct facts were asked of a list of {len(pairs)} pairs; ask for fewer or lengthen it")


def draw_facts(rng: Random, split: Split, relation: str, count: int) -> list[Fact]:
    """Draw `count` facts of one relation with distinct subjects and values."""
    rows, columns = (world().words[name] for name in RELATIONS[relation])
    return [Fact(relation, *pair) for pair in distinct(rng, owned(rows, columns, split), count)]
