"""tokenizer_config.json: where the chat templates and the special tokens are."""

from pathlib import Path

from tasks.checkpoint.chat_templates import find_chat_templates
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.checks.chat_template import _special_tokens
from tests.fuzz.target import Target

PLACES = {b"{": "tokenizer_config.json", b"[": "tokenizer_config.json", b"/": "additional_chat_templates/tool.jinja"}
"""Which file begins with which byte. All others are chat_template.jinja."""


def parse(data: bytes, folder: Path) -> None:
    for name in (*PLACES.values(), "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    file = folder / PLACES.get(data[:1], "chat_template.jinja")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    snapshot = Snapshot(folder)
    for template, (named, source) in find_chat_templates(snapshot).items():
        assert isinstance(template, str) and isinstance(source, str) and (folder / named).is_file()
    assert all(text is None or isinstance(text, str) for text in _special_tokens(snapshot).values())


TARGET = Target(
    parse=parse,
    measured={
        "tasks/checkpoint/chat_templates.py": [],
        "tasks/source/checks/chat_template.py": ["_special_tokens"],
        "tasks/checkpoint/snapshot.py": ["Snapshot.json"],
    },
    runs=10_000,
    floor=95,
    json=True,
    words=('"chat_template"', '"name"', '"template"', '"bos_token"', '"content"'),
)
