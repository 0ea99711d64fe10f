"""Settles the chat template: one rule where it comes from, and the token with which it ends a turn.

The rule is that of transformers' tokenizers: chat_template.jinja, then the field `chat_template` of
tokenizer_config.json. chat_template.json, which transformers reads for multimodal models alone, counts where there is
neither. A list of named templates counts by its entry `default`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.checkpoint.chat_templates import DEFAULT, find_chat_templates
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.checks.chat_template import SCRIPT, SPECIAL_TOKENS
from tasks.source.checks.sandbox import Exceeded, Failed, ask

FILE = "chat_template.jinja"
NAMED = "additional_chat_templates"

ANSWER = "The answer is forty-two"
ASKED = [{"role": "user", "content": "What is the question?"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": ANSWER}]


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
        (view / NAMED).mkdir(exist_ok=True)
        (view / NAMED / f"{name}.jinja").write_text(other, encoding="utf-8", newline="")
    return Template(file)


def end_of_turn(view: Path, tokenizer: Any) -> str | None:
    """Return the added token that the template of the view writes after an answer.

    The template, which is a program, is rendered in a sandbox with limits. Returns None where it writes no such token,
    takes no such conversation, or exceeds its limits.

    tokenizer: transformers' tokenizer of the view.
    """
    source = (view / FILE).read_text(encoding="utf-8")
    tokens = {name: str(getattr(tokenizer, name, None) or "") for name in SPECIAL_TOKENS}
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    whole, bare = _render(source, tokens, [ANSWERED, ASKED], prompt=False)
    (asked,) = _render(source, tokens, [ASKED], prompt=True)
    if whole is None or bare is None or asked is None:
        return None
    _, answer, rest = whole.rpartition(ANSWER)
    rest = rest.lstrip()
    found = max((token for token in added if token and rest.startswith(token)), key=len, default=None)
    # A template may open the next turn whether it is asked to or not.
    opens = asked.removeprefix(bare).lstrip() if asked.startswith(bare) else ""
    return found if answer and found and not opens.startswith(found) else None


def _render(source: str, tokens: Mapping[str, str], conversations: Sequence[Any], prompt: bool) -> list[str | None]:
    """Return each conversation as text, None for one that does not render. prompt: ask for an answer at the end."""
    variables = {"tools": None, "documents": None, **tokens, "add_generation_prompt": prompt}
    try:
        answer = ask(SCRIPT, {"source": source, "variables": variables, "conversations": conversations})
    except (Exceeded, Failed):
        return [None] * len(conversations)
    return answer["rendered"] or [None] * len(conversations)
