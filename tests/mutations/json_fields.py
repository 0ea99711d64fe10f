"""Mutants of a JSON file: every leaf is changed, every leaf and every object or list below the root is removed.

Long lists and objects are tables, such as a vocabulary: a few of their entries stand for all, and two neighbours of
them are also exchanged.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.mutations.mutant import Mutant, replace
from tests.mutations.values import changed

LONGEST = 16
"""A longer list, or object of numbers, is a table."""

Key = str | int
Place = tuple[Key, ...]


def json_mutants(folder: Path, file: str) -> Iterator[Mutant]:
    """Yield the mutants of a JSON file."""
    content = json.loads((folder / file).read_bytes())
    for place, value in nodes(content):
        if not isinstance(value, dict | list):
            yield _mutant(
                file, place, "changed", lambda container, key: container.__setitem__(key, _other(container, key))
            )
        yield _mutant(file, place, "removed", lambda container, key: container.__delitem__(key))
        if is_table(value):
            for key in entries(value)[:-1]:
                yield _mutant(file, (*place, key), "exchanged with the next", exchange)


def nodes(container: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield (place, value) of everything below a value, outer things first."""
    if not isinstance(container, dict | list):
        return
    keys: Sequence[Key] = list(container) if isinstance(container, dict) else range(len(container))
    value: Any = container
    for key in entries(value) if is_table(value) else keys:
        yield (*place, key), value[key]
        # The two halves of a merge are no fields of their own.
        if not is_table(value) or isinstance(value[key], dict):
            yield from nodes(value[key], (*place, key))


def is_table(value: Any) -> bool:
    """Return whether a value is a long list, or a long object of numbers; a configuration is long, but no table."""
    numbers = isinstance(value, dict) and all(isinstance(one, int | float) for one in value.values())
    return (numbers or isinstance(value, list)) and len(value) > LONGEST


def entries(table: dict[str, Any] | list[Any]) -> list[Key]:
    """Return the keys of the entries that stand for all of a table: the first, one in its midst, and the last two."""
    keys: list[Key] = list(table) if isinstance(table, dict) else list(range(len(table)))
    return [keys[0], keys[len(keys) // 2], keys[-2], keys[-1]]


def exchange(container: Any, key: Key) -> None:
    """Exchange an entry of a table with the one behind it."""
    keys: list[Key] = list(container) if isinstance(container, dict) else list(range(len(container)))
    after = keys[keys.index(key) + 1]
    container[key], container[after] = container[after], container[key]


def _other(container: Any, key: Key) -> Any:
    return changed(container[key])


def _mutant(file: str, place: Place, change: str, edit: Callable[[Any, Key], None]) -> Mutant:
    def apply(folder: Path) -> None:
        content = copy.deepcopy(json.loads((folder / file).read_bytes()))
        container = content
        for key in place[:-1]:
            container = container[key]
        edit(container, place[-1])
        replace(folder / file, json.dumps(content, ensure_ascii=False).encode())

    return Mutant(file, spell(place), change, file, apply)


def spell(place: Place) -> str:
    """Return a place as text, such as `rope_parameters.rope_theta` or `added_tokens.0.special`."""
    return ".".join(str(key) if isinstance(key, int) or key.isidentifier() else ascii(key) for key in place)
