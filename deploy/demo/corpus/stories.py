"""Stories and plain lists of facts, both of which end in questions about what they said."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import RELATIONS, Fact, draw_facts
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world


def slots(fact: Fact, owner: str) -> dict[str, str]:
    """Give the slots that sentences about a fact use: {who} and {what}. `owner` has the thing, where the fact is about one."""
    if RELATIONS[fact.relation][0] == "people":
        return {"who": fact.subject}
    return {"who": owner, "what": fact.subject}


def owners(rng: Random, facts: list[Fact]) -> list[str]:
    """Draw one person per fact, all distinct."""
    return rng.sample(world().words["people"], len(facts))


def cast(a: str, b: str) -> dict[str, str]:
    """Give the slots of a story's two people; the pronouns are those of `a`."""
    subject, possessive, objective = world().pronouns[a]
    return {"a": a, "b": b, "He": subject.capitalize(), "his": possessive, "him": objective}


def _state(draft: Draft, fact: Fact, owner: str) -> str:
    draft.state(fact)
    return draft.say(f"facts.{fact.relation}.state", **slots(fact, owner), value=fact.value)


def _ask(draft: Draft, fact: Fact, owner: str, choices: list[str]) -> None:
    draft.ask(draft.choose(f"facts.{fact.relation}.ask"), slots(fact, owner), fact.value, choices)


def story(rng: Random, split: Split, id: str) -> Document:
    """Write a story of two or three facts among events; one or two are asked at its end."""
    draft = Draft(rng, split)
    relation = rng.choice(tuple(RELATIONS))
    facts = draw_facts(rng, split, relation, rng.choice((2, 3, 3)))
    people = owners(rng, facts)
    heroes = [fact.subject for fact in facts] if RELATIONS[relation][0] == "people" else people
    parts = cast(heroes[0], heroes[1])
    sentences = [draft.say("story.opener", **parts)]
    for fact, owner in zip(facts, people, strict=True):
        sentences += [_state(draft, fact, owner)]
        sentences += [draft.say("story.event", **parts) for _ in range(rng.choice((1, 1, 2)))]
    draft.add(" ".join(sentences) + "\n")
    choices = [fact.value for fact in facts]
    asked = rng.sample(range(len(facts)), rng.choice((1, 2)))
    for number, index in enumerate(asked):
        _ask(draft, facts[index], people[index], choices)
        draft.add("\n" if number < len(asked) - 1 else " ")
    draft.add(draft.say("story.closer", **parts) + "\n")
    return draft.finish(id, "story")


def recall(rng: Random, split: Split, id: str) -> Document:
    """Write three to five facts of one relation, and ask for two of them."""
    draft = Draft(rng, split)
    facts = draw_facts(rng, split, rng.choice(tuple(RELATIONS)), rng.choice((3, 4, 4, 5)))
    people = owners(rng, facts)
    said = [_state(draft, fact, owner) for fact, owner in zip(facts, people, strict=True)]
    draft.add(rng.choice((" ", "\n")).join(said) + "\n")
    choices = [fact.value for fact in facts]
    for index in rng.sample(range(len(facts)), 2):
        _ask(draft, facts[index], people[index], choices)
        draft.add("\n")
    return draft.finish(id, "recall")
