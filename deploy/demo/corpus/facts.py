"""The fixed facts of the world, and which facts a split may state one after the other.

A model of this size learns facts by heart. It does not learn to look up what a story has just invented. So the facts
are the same in every text, and a split owns *pairs of facts*: no training text states a fact about Mira and then one
about Tam if an evaluation text does.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from deploy.demo.corpus.splits import Split, split_of
from deploy.demo.corpus.world import world

# relation -> (the list its subjects are from, the list its values are from)
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


def assigned(name: str, subjects: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Give each subject a value, each value about as often as any other; the same for the same `name` every time."""
    rounds = -(-len(subjects) // len(values))
    shuffled = Random(f"world/{name}").sample(values * rounds, len(values) * rounds)
    return dict(zip(subjects, shuffled, strict=False))


@cache
def truth(relation: str) -> dict[str, str]:
    """Give the value of every subject under a relation."""
    subjects, values = (world().words[name] for name in RELATIONS[relation])
    return assigned(relation, subjects, values)


@cache
def owner_of() -> dict[str, str]:
    """Give the person to whom each thing belongs."""
    return assigned("owner", world().words["things"], world().words["people"])


def chain(rng: Random, subjects: tuple[str, ...], split: Split, count: int) -> list[str]:
    """Draw `count` different subjects of which each may follow the one before it in a text of `split`."""
    for start in rng.sample(range(len(subjects)), len(subjects)):
        found = [start]
        while len(found) < count:
            following = [i for i in range(len(subjects)) if i not in found and split_of(found[-1], i) is split]
            if not following:
                break
            found.append(rng.choice(following))
        if len(found) == count:
            return [subjects[i] for i in found]
    raise ValueError(
        f"no {count} of {len(subjects)} subjects may follow each other in {split.value}; lengthen the list"
    )


def draw_facts(rng: Random, split: Split, relation: str, count: int) -> list[Fact]:
    """Draw `count` facts of one relation that may follow each other."""
    known = truth(relation)
    return [Fact(relation, subject, known[subject]) for subject in chain(rng, tuple(known), split, count)]


def choices(facts: list[Fact]) -> list[str]:
    """Give the different values that these facts mention, in order: what a guess would choose from."""
    return list(dict.fromkeys(fact.value for fact in facts))
