"""The sentences of each split, read from `phrasings/*.toml`, and how their slots are filled."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from deploy.demo.corpus.splits import Split

SLOT = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")
ANSWER = "{?}"


@cache
def _file(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "phrasings" / f"{name}.toml").read_text(encoding="utf-8"))


def table(path: str) -> dict[str, Any]:
    """Give one table of the phrasings by its dotted path, `file.table.table`; KeyError where there is none."""
    name, *rest = path.split(".")
    found = _file(name)
    for part in rest:
        found = found[part]
    return found


def bank(path: str, split: Split) -> tuple[str, ...]:
    """Give the sentences that `split` owns in the table at `path`."""
    return tuple(table(path)[split.value])


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Put `slots` into `template`; `{?}` stays. KeyError on a slot that nobody filled.

    Braces that hold no slot name (Python and JSON in the snippets) are left alone.
    """
    return SLOT.sub(lambda match: slots[match[1]], template)
