"""Short texts in other languages and scripts, about the colours of things."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import Fact, assigned, chain, choices
from deploy.demo.corpus.phrasings import table
from deploy.demo.corpus.splits import Split

LANGUAGES = ("french", "polish", "greek", "russian", "japanese", "chinese")
WITHOUT_SPACES = ("japanese", "chinese")


def language(rng: Random, split: Split, id: str) -> Document:
    """Write three coloured things and some sentences between them in one language, and ask for one or two colours."""
    draft = Draft(rng, split)
    name = rng.choice(LANGUAGES)
    words = table(f"scripts.{name}")
    nouns, colours = tuple(words["nouns"]), tuple(words["colours"])
    known = assigned(name, nouns, colours)
    facts = [Fact(name, noun, known[noun]) for noun in chain(rng, nouns, split, 3)]
    draft.follow(name, [fact.subject for fact in facts])
    sentences = []
    for fact in facts:
        sentences.append(draft.say(f"scripts.{name}.state", noun=fact.subject, value=fact.value))
        if rng.random() < 0.7:
            noun, noun2 = rng.sample(nouns, 2)
            sentences.append(draft.say(f"scripts.{name}.filler", noun=noun, noun2=noun2))
    draft.add(("" if name in WITHOUT_SPACES else " ").join(sentences) + "\n")
    for fact in rng.sample(facts, rng.choice((1, 2))):
        template = draft.choose(f"scripts.{name}.ask")
        draft.ask(template, {"noun": fact.subject}, fact.value, choices(facts), "\n")
    return draft.finish(id, name)
