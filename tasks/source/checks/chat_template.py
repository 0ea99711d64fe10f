"""Checks that chat templates, which are programs, parse and render in a sandbox, within limits of time and memory."""

from pathlib import Path
from typing import Any

from tasks.checkpoint.chat_templates import DEFAULT, find_chat_templates
from tasks.checkpoint.named_tokens import NAMED, named_texts, read_named
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused, Unsupported
from tasks.source.checks.sandbox import Exceeded, Failed, ask
from tasks.source.parameters import ScanParameters

SCRIPT = Path(__file__).parent / "render_template.py"
MOST_TEMPLATES = 16
"""Models for tools and documents have three. Each template is rendered in a process of its own."""

QUESTION = "Which mark is struck?"
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": QUESTION}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
    [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": QUESTION},
    ],
    # `analyze` renders such a conversation, too, to find what ends a turn.
    [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "The third."}],
]
"""A template may refuse some of these: many take no system message."""

IN_PARTS = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
"""What some templates of multimodal models take alone. Chats are compared and served as texts."""


def check_chat_template(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Refused for a template that tries to leave its sandbox or does not end, Corrupt for one that is broken.

    Raises Unsupported for one that takes no message as a text.
    """
    templates = find_chat_templates(snapshot)
    if not templates:
        return "no chat template", False
    if len(templates) > MOST_TEMPLATES:
        file = next(reversed(templates.values()))[0]
        raise Refused(
            f"{file}: the repository has {len(templates)} chat templates, more than {MOST_TEMPLATES}; do not use it."
        )
    variables = _special_tokens(snapshot)
    for name, (file, source) in templates.items():
        conversations = [*CONVERSATIONS, IN_PARTS]
        answer = _render(file, name, {"source": source, "variables": variables, "conversations": conversations})
        _judge(file, name, answer)
    return f"{', '.join(sorted(templates))}: parsed and rendered in a sandbox", True


def _render(file: str, name: str, question: dict[str, Any]) -> dict[str, Any]:
    try:
        return ask(SCRIPT, question)
    except Exceeded as error:
        raise _endless(file, name) from error
    except Failed as error:
        raise Corrupt(
            f"{file}: the chat template {name!r} cannot be rendered ({error}); ask the publisher to fix it."
        ) from error


def _judge(file: str, name: str, answer: dict[str, Any]) -> None:
    where = f"{file}: the chat template {name!r}"
    if answer["kind"] == "SecurityError":
        raise Refused(f"{where} tries to leave its sandbox ({reason(answer['error'])}); do not use this repository.")
    if answer["kind"] == "MemoryError":
        raise _endless(file, name, reason(answer["error"]))
    if not answer["rendered"]:
        raise Corrupt(f"{where} does not parse ({reason(answer['error'])}); ask the publisher to fix it.")
    # Other templates are for tools or documents, which these conversations do not have.
    if name != DEFAULT:
        return
    shown = [bool(text and QUESTION in text) for text in answer["rendered"]]
    if not any(shown):
        why = reason(answer["error"] or "its output lacks the user's message")
        raise Corrupt(f"{where} renders no conversation ({why}); ask the publisher to fix it.")
    if not any(shown[: len(CONVERSATIONS)]):
        raise Unsupported(
            f"{where} takes messages as lists of parts alone, and chats are compared and served with messages that are "
            "texts; ask the publisher to let it take texts, too."
        )


def _endless(file: str, name: str, why: str = "") -> Refused:
    """why: the script's own words; Python has none for missing memory."""
    limits = f"({why})" if why else "of a few seconds and 1 GB"
    return Refused(f"{file}: the chat template {name!r} exceeds its limits {limits}; do not use this repository.")


def _special_tokens(snapshot: Snapshot) -> dict[str, Any]:
    """The variables of templates besides the messages: the texts of special tokens, no tools, no documents.

    A token that the file lacks is empty. It may be a default of the tokenizer's class, which only transformers knows.
    """
    config, _ = read_named(snapshot)
    return {"tools": None, "documents": None, **dict.fromkeys(NAMED, ""), **named_texts(config)}
