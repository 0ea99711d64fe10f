"""Fixed facts of the world, asked without being told: what a model has to know by heart."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world


def knowledge(rng: Random, split: Split, id: str) -> Document:
    """Write a heading and three to five facts of different towns; each is stated for the first time where it is asked.

    These facts are the same in all splits, for nobody could know them otherwise; the phrasings differ.
    """
    draft = Draft(rng, split)
    draft.add(draft.say("knowledge.join") + "\n")
    towns = world().towns
    for town in rng.sample(towns, rng.choice((3, 4, 5))):
        about = rng.choice(("river", "craft"))
        value = town.river if about == "river" else town.craft
        choices = [t.river if about == "river" else t.craft for t in towns]
        draft.ask(draft.choose(f"knowledge.{about}"), {"town": town.name}, value, choices, "\n")
    return draft.finish(id, "knowledge")
