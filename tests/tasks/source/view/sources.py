"""What the tests of the view do with a source's files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Replace a JSON object by what `change` makes of it; a file that is not there is an empty one."""
    content = read(path) if path.exists() else {}
    path.write_text(json.dumps(change(content), ensure_ascii=False), encoding="utf-8")


def read(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def names(view: Path) -> set[str]:
    """Return the paths of the files in a view."""
    return {path.relative_to(view).as_posix() for path in view.rglob("*") if path.is_file()}
