"""Snippets of code: tables that are looked up, and short functions, loops and classes."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import choices, draw_facts
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world


def _plain(draft: Draft) -> str:
    name, name2 = draft.rng.sample(world().words["names"], 2)
    thing = draft.rng.choice(world().words["things"])
    numbers = {slot: str(draft.rng.randint(1, 20)) for slot in "abcd"}
    return draft.say("code.plain", name=name, name2=name2, thing=thing, Thing=thing.capitalize(), **numbers)


def code(rng: Random, split: Split, id: str) -> Document:
    """Write one or two plain snippets and, mostly, a table of three colours of which one is looked up."""
    draft = Draft(rng, split)
    for _ in range(rng.choice((1, 1, 2))):
        draft.add(_plain(draft) + "\n")
    if rng.random() < 0.8:
        facts = draw_facts(rng, split, "colour", 3)
        draft.follow("colour", [fact.subject for fact in facts])
        slots = {f"k{n}": fact.subject for n, fact in enumerate(facts, 1)}
        slots |= {f"v{n}": fact.value for n, fact in enumerate(facts, 1)}
        asked = rng.choice(facts)
        template = draft.choose("code.lookup")
        draft.ask(template, slots | {"key": asked.subject}, asked.value, choices(facts))
    return draft.finish(id, "code")
