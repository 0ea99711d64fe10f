"""Settles the chat template: one rule where it comes from, and the token with which it ends a turn.

The rule is that of transformers' tokenizers: default.jinja of the folder of named templates, then chat_template.jinja,
then the field `chat_template` of tokenizer_config.json. chat_template.json, which transformers reads for multimodal
models alone, counts where there is none of them. Named templates count by their entry `default`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.checkpoint.chat_templates import DEFAULT, find_chat_templates
from tasks.checkpoint.named_tokens import NAMED
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.checks.chat_template import SCRIPT
from tasks.source.checks.sandbox import Exceeded, Failed, ask

FILE = "chat_template.jinja"
OTHERS = "additional_chat_templates"

ANSWER = "The answer is forty-two"
QUESTION = "What is the question?"
ASKED = [{"role": "user", "content": QUESTION}]
ANSWERED = [*ASKED, {"role": "assistant", "content": ANSWER}]
CONTINUED = [*ANSWERED, {"role": "user", "content": "And what else?"}]


@dataclass(frozen=True)
class Template:
    """The settled template.

    file: the file of the source that holds it; None if there is no template.
    notes: what was left out; whole sentences.
    """

    file: str | None = None
    notes: tuple[str, ...] = field(default=())


def settle_template(snapshot: Snapshot, view: Path) -> Template:
    """Write the default template as chat_template.jinja and the others beside it.

    Raises Corrupt for a field `chat_template` of a wrong type.
    """
    templates = find_chat_templates(snapshot)
    if DEFAULT not in templates:
        if not templates:
            return Template()
        file = next(iter(templates.values()))[0]
        names = ", ".join(repr(name) for name in templates)
        return Template(
            notes=(f"{file} has the chat templates {names} and no 'default', so the release has no chat template.",)
        )
    file, source = templates.pop(DEFAULT)
    (view / FILE).write_text(source, encoding="utf-8", newline="")
    for name, (_, other) in templates.items():
        (view / OTHERS).mkdir(exist_ok=True)
        (view / OTHERS / f"{name}.jinja").write_text(other, encoding="utf-8", newline="")
    return Template(file)


def ends_of_turn(view: Path, tokenizer: Any, marks: Collection[str]) -> tuple[str, ...]:
    """Return the marks that the template of the view writes after an answer: the last one, and one in between.

    The template, which is a program, is rendered in a sandbox with limits. A conversation that it does not take, or
    with which it exceeds its limits, shows no token.

    tokenizer: transformers' tokenizer of the view. marks: the texts of the tokens that are no ordinary text.
    """
    source = (view / FILE).read_text(encoding="utf-8")
    tokens: dict[str, str] = {**dict.fromkeys(NAMED, ""), **tokenizer.special_tokens_map}
    whole, longer, bare = _render(source, tokens, [ANSWERED, CONTINUED, ASKED], prompt=False)
    (asked,) = _render(source, tokens, [ASKED], prompt=True)
    if bare is None or asked is None:
        return ()
    last, between = _behind_answer(whole, marks), _behind_answer(longer, marks)
    # A template may open the next turn whether it is asked to or not.
    opens = asked.removeprefix(bare).lstrip() if asked.startswith(bare) else ""
    if last and opens.startswith(last):
        last = None
    # What stands before the first question, too, opens a turn.
    if between and between in tokens["bos_token"] + bare.partition(QUESTION)[0]:
        between = None
    return tuple(dict.fromkeys(token for token in (last, between) if token))


def _behind_answer(text: str | None, marks: Collection[str]) -> str | None:
    """Return the longest mark with which the text behind the answer begins, spaces left out."""
    _, answer, rest = (text or "").rpartition(ANSWER)
    rest = rest.lstrip() if answer else ""
    return max((token for token in marks if token and rest.startswith(token)), key=len, default=None)


def _render(source: str, tokens: Mapping[str, str], conversations: Sequence[Any], prompt: bool) -> list[str | None]:
    """Return each conversation as text, None for one that does not render. prompt: ask for an answer at the end."""
    variables = {"tools": None, "documents": None, **tokens, "add_generation_prompt": prompt}
    try:
        answer = ask(SCRIPT, {"source": source, "variables": variables, "conversations": conversations})
    except (Exceeded, Failed):
        return [None] * len(conversations)
    return answer["rendered"] or [None] * len(conversations)
