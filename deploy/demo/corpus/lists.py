"""Lists of pairs that are said twice, the second time in another order.

Every second line can be known from the first half alone: the densest lesson in looking things up, without which a model
of this size never learns to answer from a story.
"""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import RELATIONS, draw_facts
from deploy.demo.corpus.splits import Split


def pairs(rng: Random, split: Split, id: str) -> Document:
    """Write four to seven pairs of one relation under a heading, and again in another order; the last one is asked."""
    draft = Draft(rng, split)
    facts = draw_facts(rng, split, rng.choice(tuple(RELATIONS)), rng.choice((4, 5, 6, 7)))
    draft.state(*facts)
    template = draft.choose("lists.pair")
    draft.add(draft.say("lists.heading"))
    for fact in facts:
        draft.ask(template, {"key": fact.subject}, fact.value, ())
    draft.add(draft.say("lists.again"))
    for fact in rng.sample(facts, len(facts)):
        draft.ask(template, {"key": fact.subject}, fact.value, [f.value for f in facts])
    return draft.finish(id, "pairs")
