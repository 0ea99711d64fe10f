"""Stories and lists of facts. Both end with questions about what they said."""

from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import RELATIONS, Fact, choices, draw_facts, owner_of
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.world import world


def slots(fact: Fact) -> dict[str, str]:
    """Give the slots that sentences about a fact use: {who}, and {what} where the fact is about a thing."""
    if RELATIONS[fact.relation][0] == "people":
        return {"who": fact.subject}
    return {"who": owner_of()[fact.subject], "what": fact.subject}


def cast(a: str, b: str) -> dict[str, str]:
    """Give the slots of a story's two people; the pronouns are those of `a`."""
    subject, possessive, objective = world().pronouns[a]
    return {"a": a, "b": b, "He": subject.capitalize(), "his": possessive, "him": objective}


def _state(draft: Draft, fact: Fact) -> str:
    return draft.say(f"facts.{fact.relation}.state", **slots(fact), value=fact.value)


def _ask(draft: Draft, fact: Fact, facts: list[Fact], end: str) -> None:
    draft.ask(draft.choose(f"facts.{fact.relation}.ask"), slots(fact), fact.value, choices(facts), end)


def story(rng: Random, split: Split, id: str) -> Document:
    """Write a story of two or three facts among events; one or two of them are asked at its end."""
    draft = Draft(rng, split)
    facts = draw_facts(rng, split, rng.choice(tuple(RELATIONS)), rng.choice((2, 3, 3)))
    draft.follow(facts[0].relation, [fact.subject for fact in facts])
    parts = cast(slots(facts[0])["who"], slots(facts[1])["who"])
    sentences = [draft.say("story.opener", **parts)]
    for fact in facts:
        sentences += [_state(draft, fact)]
        sentences += [draft.say("story.event", **parts) for _ in range(rng.choice((1, 1, 2)))]
    draft.add(" ".join(sentences) + "\n")
    asked = rng.sample(facts, rng.choice((1, 2)))
    for fact in asked:
        _ask(draft, fact, facts, "\n" if fact is not asked[-1] else " ")
    draft.add(draft.say("story.closer", **parts) + "\n")
    return draft.finish(id, "story")


def recall(rng: Random, split: Split, id: str) -> Document:
    """Write three to five facts of one relation, and ask for each in another order."""
    draft = Draft(rng, split)
    facts = draw_facts(rng, split, rng.choice(tuple(RELATIONS)), rng.choice((3, 4, 4, 5)))
    draft.follow(facts[0].relation, [fact.subject for fact in facts])
    draft.add(rng.choice((" ", "\n")).join(_state(draft, fact) for fact in facts) + "\n")
    for fact in rng.sample(facts, len(facts)):
        _ask(draft, fact, facts, "\n")
    return draft.finish(id, "recall")
