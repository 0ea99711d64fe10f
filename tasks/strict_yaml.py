"""The part of YAML that a recipe may use: what it says is what is written there, and reading it takes no time."""

import math
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

LARGEST_BYTES = 100_000
"""A recipe is read whenever DAGs are parsed; a hundred targets with all their gates are some 20 kB."""

UNSHOWN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\u202a-\\u202e\\u2066-\\u2069]")
"""Control characters but tabs and line ends, halves of characters, and what turns the order of letters around."""


def read_yaml(path: Path) -> Any:
    """Return a file's content; raises yaml.YAMLError, ValueError (also where it is no UTF-8) or RecursionError."""
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise yaml.YAMLError(f"a recipe has at most {LARGEST_BYTES} bytes")
    return yaml.load(data.decode("utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader


def list_item(text: str) -> str:
    """Return the one line that adds a text to a list: as it is where YAML reads it back so, else quoted and escaped."""
    line = f"- {text}"
    if text.isprintable() and yaml.safe_dump([text], allow_unicode=True, width=math.inf) == f"{line}\n":
        return line
    return yaml.safe_dump([text], default_style='"', width=math.inf).rstrip("\n")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader without what would be read otherwise than it looks.

    Refused are: a key that is there twice, for the first would vanish without a word; aliases, a few lines of which
    stand for more text than memory holds; tags, which make something else of what is written; and characters that
    cannot be shown. A date is text.
    """

    yaml_implicit_resolvers = {
        mark: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for mark, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Build a node; raises ComposerError for an alias or a tag."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise ComposerError(None, None, "a recipe has no aliases: write it out", mark)
        if getattr(event, "tag", None) is not None:
            raise ComposerError(None, None, "a recipe has no tags: write the value alone", mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Return a text; raises ConstructorError where it holds a control character or half of one."""
        text = super().construct_scalar(node)
        if isinstance(text, str) and UNSHOWN.search(text):
            raise ConstructorError(None, None, f"{text!r} cannot be shown", node.start_mark)
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; raises ConstructorError naming the key that is there twice, or is no text."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=deep)
            if not isinstance(name, str):
                raise ConstructorError(None, None, f"{name!r} is no name of a field", key.start_mark)
            if name in seen:
                raise ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
