"""Reads the sentences of each split from `phrasings/*.toml`, and fills their slots.

A sentence such as `The {what} [is|was] {value}[| now].` stands for every choice of its brackets. Sentences under
`training`, `calibration` and `evaluation` belong to that split. Under `shared`, each choice is one phrasing and belongs
to one split. An evaluation text therefore contains new sentences and new choices of known ones.
"""

import re
import tomllib
import zlib
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from deploy.demo.corpus.splits import Split

SLOT = re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}")
CHOICE = re.compile(r"\[([^\[\]\n]*\|[^\[\]\n]*)\]")
ANSWER = "{?}"
SEVENTHS = {0: Split.EVALUATION, 1: Split.CALIBRATION}


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


def spread(sentence: str) -> list[str]:
    """Give every choice of a sentence's brackets; a sentence without any is its only choice."""
    parts = CHOICE.split(sentence)
    return ["".join(choice) for choice in product(*(p.split("|") if n % 2 else [p] for n, p in enumerate(parts)))]


def owner(phrasing: str) -> Split:
    """Give the split that owns a shared phrasing: by its checksum, one in seven each for evaluation and calibration."""
    return SEVENTHS.get(zlib.crc32(phrasing.encode()) % 7, Split.TRAINING)


@cache
def bank(path: str, split: Split) -> tuple[tuple[str, ...], ...]:
    """Give the phrasings that `split` owns in the table at `path`, those of one sentence together."""
    lists = table(path)
    own = [spread(sentence) for sentence in lists.get(split.value, [])]
    shared = [[p for p in spread(sentence) if owner(p) is split] for sentence in lists.get("shared", [])]
    return tuple(tuple(phrasings) for phrasings in own + shared if phrasings)


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Put `slots` into `template`; `{?}` stays. Raises KeyError for a slot without a value.

    Braces that hold no slot name (Python and JSON in the snippets) are left alone.
    """
    return SLOT.sub(lambda match: slots[match[1]], template)
