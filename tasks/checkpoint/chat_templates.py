"""Finds the chat templates of a snapshot, in all places where transformers looks for them."""

import re
from pathlib import PurePosixPath

from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt

DEFAULT = "default"
CONFIG = "tokenizer_config.json"
FILE = "chat_template.jinja"

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
"""Names become names of files, so none may lead out of its folder."""


def find_chat_templates(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Return, by name, a template's file and its Jinja source.

    A template in a file of its own takes precedence over one in tokenizer_config.json, and default.jinja in the folder
    of named ones over chat_template.jinja, as in transformers. A template in chat_template.json counts last:
    transformers' tokenizers do not read it. An empty template is none, and yet takes precedence.

    Raises Corrupt where the field `chat_template` is neither a string nor named templates, a list or an object, and for
    a name that is not made of letters, digits, "_", "-" and ".".
    """
    templates = _in_json(snapshot, "chat_template.json") | _in_json(snapshot, CONFIG)
    paths = list(snapshot.paths())
    if FILE in paths:
        templates[DEFAULT] = (FILE, _text(snapshot, FILE))
    for path in paths:
        if path.startswith("additional_chat_templates/") and path.endswith(".jinja"):
            templates[PurePosixPath(path).stem] = (path, _text(snapshot, path))
    templates = {name: found for name, found in templates.items() if found[1].strip()}
    for name, (file, _) in templates.items():
        if not NAME.fullmatch(name):
            raise Corrupt(
                f"{file}: a chat template is named {reason(repr(name))}, and a name may have 64 letters, digits, "
                "'_', '-' and '.' at most, and no '.' first; ask the publisher to rename it."
            )
    return templates


def _in_json(snapshot: Snapshot, file: str) -> dict[str, tuple[str, str]]:
    value = (snapshot.json(file) or {}).get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: (file, value)}
    try:
        named = value if isinstance(value, dict) else {str(entry["name"]): str(entry["template"]) for entry in value}
    except (TypeError, KeyError) as error:
        raise Corrupt(
            f"{file}: chat_template is neither a string nor named templates, a list or an object; ask the publisher "
            "to fix it."
        ) from error
    return {name: (file, str(template)) for name, template in named.items()}


def _text(snapshot: Snapshot, path: str) -> str:
    try:
        return (snapshot.folder / path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Corrupt(f"{path} is not UTF-8 text; ask the publisher to fix it.") from error
