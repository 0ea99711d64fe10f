"""Mutants of a source that say the same under other names: rotary fields had other places before transformers 5."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.mutations.mutant import Mutant, replace
from tests.mutations.values import changed

FILE, INNER = "config.json", "rope_parameters"

NAMES: Mapping[str, tuple[str, ...]] = {
    "partial_rotary_factor": ("partial_rotary_factor", "rotary_pct"),
    "rope_theta": ("rope_theta", "rotary_emb_base"),
}
"""The names that a field of `rope_parameters` has at the top of config.json in one family or another."""


def respelled(folder: Path) -> Iterator[Mutant]:
    """Yield mutants of a source: a rotary field moves from one place to the other, or another value stands in both."""
    config = json.loads((folder / FILE).read_bytes())
    inner = config.get(INNER) or {}
    for field, names in NAMES.items():
        if field in inner:
            for name in names:
                yield _mutant(f"{INNER}.{field}", f"moved to {name}", _moved_up(field, name))
                yield _mutant(f"{INNER}.{field}", f"beside another {name}", _beside(field, name))
        for name in names:
            if name in config:
                yield _mutant(name, f"moved to {INNER}.{field}", _moved_down(name, field))


Edit = Callable[[dict[str, Any]], None]


def _moved_up(field: str, name: str) -> Edit:
    return lambda config: config.__setitem__(name, config[INNER].pop(field))


def _beside(field: str, name: str) -> Edit:
    return lambda config: config.__setitem__(name, changed(config[INNER][field]))


def _moved_down(name: str, field: str) -> Edit:
    def edit(config: dict[str, Any]) -> None:
        config[INNER] = {"rope_type": "default", **(config.get(INNER) or {}), field: config.pop(name)}

    return edit


def _mutant(field: str, change: str, edit: Edit) -> Mutant:
    def apply(folder: Path) -> None:
        content = json.loads((folder / FILE).read_bytes())
        edit(content)
        replace(folder / FILE, json.dumps(content).encode())

    return Mutant(FILE, field, change, "spellings", apply)
