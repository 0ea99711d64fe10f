"""Reads YAML strictly, for recipes.

A key that appears twice is an error: PyYAML would silently use the second one. Dates stay text. Keys stay text, too: in
YAML 1.1, which PyYAML reads, a plain `on` is a boolean. The size of a file is limited.
"""

import math
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

LARGEST_BYTES = 100_000
"""The largest recipe. Each parse of the DAGs reads it; a hundred targets with all their gates are about 20 kB."""

BOOLEAN, TEXT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"
"""The tags that YAML gives to a boolean and to a text. Plain `on`, `off`, `yes` and `no` are booleans in YAML 1.1."""


def read_yaml(path: Path) -> Any:
    """Return the content of a file. Raises yaml.YAMLError, ValueError (also if it is not UTF-8) or RecursionError."""
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise yaml.YAMLError(f"the file is larger than {LARGEST_BYTES} bytes")
    text = data.decode("utf-8")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except (LookupError, AttributeError, TypeError) as error:
        # PyYAML's constructors raise these for a tag that does not fit its value, such as `!!bool x`.
        raise yaml.YAMLError("a value does not fit its tag; write the value without a tag") from error


def list_item(text: str) -> str:
    """Return the line that adds a text to a YAML list. The text is quoted only if YAML would read it otherwise."""
    line = f"- {text}"
    if text.isprintable() and yaml.safe_dump([text], allow_unicode=True, width=math.inf) == f"{line}\n":
        return line
    return yaml.safe_dump([text], default_style='"', width=math.inf).rstrip("\n")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also rejects a key that appears twice, and reads dates and keys as text."""

    yaml_implicit_resolvers = {
        mark: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for mark, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping. Raises ConstructorError, with the key, if a key appears twice or is not text."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == BOOLEAN:
                key.tag = TEXT
            name = self.construct_object(key, deep=deep)
            if not isinstance(name, str):
                raise ConstructorError(None, None, f"{name!r} is not the name of a field", key.start_mark)
            if name in seen:
                raise ConstructorError(None, None, f"{name!r} appears twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
