"""Where a snapshot may keep its chat templates, and what they are called."""

from pathlib import PurePosixPath

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt

DEFAULT = "default"
CONFIG = "tokenizer_config.json"


def find_chat_templates(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Return name -> (file, Jinja source); a file of its own goes before tokenizer_config.json, as in transformers.

    Raises Corrupt where the field `chat_template` is neither a text nor a list of named ones.
    """
    templates = _in_json(snapshot, CONFIG) | _in_json(snapshot, "chat_template.json")
    for path in snapshot.paths():
        if path == "chat_template.jinja":
            templates[DEFAULT] = (path, _text(snapshot, path))
        elif path.startswith("additional_chat_templates/") and path.endswith(".jinja"):
            templates[PurePosixPath(path).stem] = (path, _text(snapshot, path))
    return templates


def _in_json(snapshot: Snapshot, file: str) -> dict[str, tuple[str, str]]:
    value = (snapshot.json(file) or {}).get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: (file, value)}
    try:
        return {str(entry["name"]): (file, str(entry["template"])) for entry in value}
    except (TypeError, KeyError) as error:
        raise Corrupt(f"{file}: chat_template is no text and no list of named ones; ask the publisher.") from error


def _text(snapshot: Snapshot, path: str) -> str:
    try:
        return (snapshot.folder / path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Corrupt(f"{path} is no UTF-8 text; ask the publisher to fix it.") from error
