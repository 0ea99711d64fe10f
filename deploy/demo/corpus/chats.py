"""Chats in the demo model's chat format (ChatML). They state facts and ask for them, in turns."""

import re
from random import Random

from deploy.demo.corpus.document import Document
from deploy.demo.corpus.draft import Draft
from deploy.demo.corpus.facts import RELATIONS, choices, draw_facts
from deploy.demo.corpus.splits import Split
from deploy.demo.corpus.stories import cast, slots
from deploy.demo.corpus.world import world

START, END = "<|im_start|>", "<|im_end|>"


def turn(role: str, text: str) -> str:
    """Give one message as the chat template writes it."""
    return f"{START}{role}\n{text}{END}\n"


def _sentences(template: str) -> list[str]:
    return re.split(r"(?<=[?.]) ", template)


def _is_turn(template: str) -> bool:
    """Say whether one side can ask this and the other answer: two sentences, the second with the answer."""
    return len(_sentences(template)) == 2 and not template.startswith(("Question", '"'))


def _recall(draft: Draft, split: Split) -> None:
    facts = draw_facts(draft.rng, split, draft.rng.choice(tuple(RELATIONS)), draft.rng.choice((2, 3)))
    draft.follow(facts[0].relation, [fact.subject for fact in facts])
    said = [draft.say(f"facts.{fact.relation}.state", **slots(fact), value=fact.value) for fact in facts]
    fact = draft.rng.choice(facts)
    question, answer = _sentences(draft.choose(f"facts.{fact.relation}.ask", _is_turn))
    draft.add(turn("user", " ".join([*said, draft.fill(question, slots(fact))])))
    draft.add(f"{START}assistant\n")
    draft.ask(answer, slots(fact), fact.value, choices(facts), f"{END}\n")


def _tale(draft: Draft, parts: dict[str, str]) -> None:
    draft.add(turn("user", draft.say("chat.tale", **parts)))
    tale = [draft.say("story.opener", **parts), draft.say("story.event", **parts), draft.say("story.closer", **parts)]
    draft.add(turn("assistant", " ".join(tale)))


def chat(rng: Random, split: Split, id: str) -> Document:
    """Write a chat: a question on stated facts, or a request for a story.

    It may also have a system message, greetings and thanks.
    """
    draft = Draft(rng, split)
    a, b = rng.sample(world().words["people"], 2)
    parts = cast(a, b)
    if rng.random() < 0.5:
        draft.add(turn("system", draft.say("chat.system", **parts)))
    if rng.random() < 0.5:
        draft.add(turn("user", draft.say("chat.hello", **parts)))
        draft.add(turn("assistant", draft.say("chat.welcome", **parts)))
    if rng.random() < 0.3:
        _tale(draft, parts)
    else:
        _recall(draft, split)
    if rng.random() < 0.5:
        draft.add(turn("user", draft.say("chat.thanks", **parts)))
        draft.add(turn("assistant", draft.say("chat.bye", **parts)))
    return draft.finish(id, "chat")
