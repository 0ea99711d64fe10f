"""Settles the chat template: one rule where it comes from, and the token with which it ends a turn.

The rule is that of transformers' tokenizers: chat_template.jinja, then the field `chat_template` of
tokenizer_config.json. chat_template.json, which transformers reads for multimodal models alone, counts where there is
neither. A list of named templates counts by its entry `default`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from tasks.checkpoint.chat_templates import DEFAULT, find_chat_templates
from tasks.checkpoint.snapshot import Snapshot

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


def end_of_turn(tokenizer: Any, added: Sequence[str]) -> str | None:
    """Return the added token that the template writes after an answer, None where it writes none.

    tokenizer: transformers' tokenizer of the view.
    added: the texts of the added tokens.
    """
    try:
        whole = tokenizer.apply_chat_template(ANSWERED, tokenize=False)
        asked = tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
        bare = tokenizer.apply_chat_template(ASKED, tokenize=False)
    except (TemplateError, ValueError, TypeError):
        # Some templates take other conversations only.
        return None
    _, answer, rest = whole.rpartition(ANSWER)
    rest = rest.lstrip()
    found = max((token for token in added if token and rest.startswith(token)), key=len, default=None)
    # A template may open the next turn whether it is asked to or not.
    opens = asked.removeprefix(bare).lstrip() if asked.startswith(bare) else ""
    return found if answer and found and not opens.startswith(found) else None
