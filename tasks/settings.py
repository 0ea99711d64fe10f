"""The state folder of Hallmark, and the optional file `settings.toml` in it.

Example: the tables [host] and [pools] of settings.toml describe the hardware.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from tasks.errors import InvalidRecipe

REPOSITORY = Path(__file__).resolve().parent.parent

TABLES = ("ports", "stack", "host", "pools")
"""The tables that the settings file may have."""


def home() -> Path:
    """Return the state folder: $HALLMARK_HOME, or `.hallmark` in the repository."""
    return Path(os.environ.get("HALLMARK_HOME") or REPOSITORY / ".hallmark").absolute()


def settings_file() -> Path:
    """Return the path of the settings file. The file may be missing."""
    return home() / "settings.toml"


def settings_table(name: str) -> dict[str, Any]:
    """Return the table `name` of the settings file, empty if it is missing.

    Raises InvalidRecipe, with the file's path, if the file is not valid TOML, if `name` is not a table, or if the file
    has anything besides TABLES, which would have no effect.
    """
    path = settings_file()
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRecipe(f"{path} is not valid TOML: {error}.") from error
    known = ", ".join(f"[{table}]" for table in TABLES)
    for other, value in tables.items():
        if other not in TABLES and isinstance(value, dict):
            raise InvalidRecipe(f"{path}: there is no table {other!r}; the tables are {known}.")
        if other not in TABLES:
            raise InvalidRecipe(f"{path}: {other!r} is above the first table; move it into one of {known}.")
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise InvalidRecipe(f"{path}: {name!r} must be a table; begin it with the line [{name}].")
    return table
