"""A chat template is a program: it must parse, and render within seconds in a sandbox, in a process of its own."""

from pathlib import Path
from typing import Any

from tasks.checkpoint.chat_templates import CONFIG, DEFAULT, find_chat_templates
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.checks.sandbox import Exceeded, Failed, ask
from tasks.source.parameters import ScanParameters

SCRIPT = Path(__file__).parent / "render_template.py"
MOST_TEMPLATES = 16
"""Models for tools and documents have three; each takes a process."""

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

QUESTION = "Which mark is struck?"
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": QUESTION}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
    [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": QUESTION},
    ],
    [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
]
"""A model may refuse some: many take no system message, and only those for images take content in parts."""


def check_chat_template(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Refused for a template that reaches out of its sandbox or does not end, Corrupt for one that is broken."""
    templates = find_chat_templates(snapshot)
    if not templates:
        return "no chat template", False
    if len(templates) > MOST_TEMPLATES:
        file = next(reversed(templates.values()))[0]
        raise Refused(f"{file}: there are {len(templates)} chat templates, more than {MOST_TEMPLATES}; do not use it.")
    variables = _special_tokens(snapshot)
    for name, (file, source) in templates.items():
        answer = _render(file, name, {"source": source, "variables": variables, "conversations": CONVERSATIONS})
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
        raise Refused(f"{where} reaches out of its sandbox ({reason(answer['error'])}); do not use this repository.")
    if answer["kind"] == "MemoryError":
        raise _endless(file, name)
    if not answer["rendered"]:
        raise Corrupt(f"{where} does not parse ({reason(answer['error'])}); ask the publisher to fix it.")
    # The others are for tools or documents, which these conversations do not have.
    if name == DEFAULT and not any(text and QUESTION in text for text in answer["rendered"]):
        why = reason(answer["error"] or "it leaves out what the user said")
        raise Corrupt(f"{where} renders no conversation ({why}); ask the publisher to fix it.")


def _endless(file: str, name: str) -> Refused:
    return Refused(
        f"{file}: the chat template {name!r} does not end within seconds and a GB; do not use this repository."
    )


def _special_tokens(snapshot: Snapshot) -> dict[str, Any]:
    """What templates find besides the messages: the special tokens' texts, and no tools or documents.

    A token that the file leaves out is often its tokenizer class's own, which only transformers knows.
    """
    config = snapshot.json(CONFIG) or {}
    tokens: dict[str, Any] = {"tools": None, "documents": None, **dict.fromkeys(SPECIAL_TOKENS, "")}
    for field in SPECIAL_TOKENS:
        value = config.get(field)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            tokens[field] = text
    return tokens
