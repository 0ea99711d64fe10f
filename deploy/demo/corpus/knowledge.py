"""Questions about fixed facts that the document does not state: the model has to know them."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import chain
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world


def knowledge(rng: Random, split: Split, id: str) -> Document:
    """Write a heading and three to five facts of different towns; each is stated for the first time where it is asked.

    Nothing in the document helps, so every value in the world is a choice.
    """
    draft = Draft(rng, split)
    draft.add(draft.say("knowledge.join") + "\n")
    towns = world().towns
    names = chain(rng, world().words["towns"], split, rng.choice((3, 4, 5)))
    draft.follow("towns", names)
    for name in names:
        town = next(town for town in towns if town.name == name)
        about = rng.choice(("river", "craft"))
        value = town.river if about == "river" else town.craft
        choices = [t.river if about == "river" else t.craft for t in towns]
        draft.ask(draft.choose(f"knowledge.{about}"), {"town": town.name}, value, choices, "\n")
    return draft.finish(id, "knowledge")
