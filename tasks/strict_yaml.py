"""YAML as recipes use it: each key once, dates as text, and files of a bounded size."""

import math
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

LARGEST_BYTES = 100_000
"""A recipe is read whenever DAGs are parsed; a hundred targets with all their gates are some 20 kB."""


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
    """YAML's safe loader, which also refuses a key that is there twice: the first would vanish without a word.

    A date is text.
    """

    yaml_implicit_resolvers = {
        mark: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for mark, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; raises ConstructorError naming a key that is there twice, or that is not text."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=deep)
            if not isinstance(name, str):
                raise ConstructorError(None, None, f"{name!r} is no name of a field", key.start_mark)
            if name in seen:
                raise ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
