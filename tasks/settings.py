"""Where Hallmark keeps its state, and the file of settings in it: `settings.toml`, everything optional."""

import os
import tomllib
from pathlib import Path
from typing import Any

from tasks.errors import InvalidRecipe

REPOSITORY = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the state folder: $HALLMARK_HOME, or `.hallmark` in the repository."""
    return Path(os.environ.get("HALLMARK_HOME") or REPOSITORY / ".hallmark").absolute()


def settings_file() -> Path:
    """Return the settings file; it need not exist."""
    return home() / "settings.toml"


def settings_table(name: str) -> dict[str, Any]:
    """Return the table of that name in the settings, empty where there is none.

    Raises InvalidRecipe naming the file where it is no TOML, or where the name is given to something else.
    """
    path = settings_file()
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get(name, {})
    except (ValueError, RecursionError) as error:
        raise InvalidRecipe(f"{path} is no TOML: {error}.") from error
    if not isinstance(table, dict):
        raise InvalidRecipe(f"{path}: {name!r} must be a table, begun by the line [{name}].")
    return table
