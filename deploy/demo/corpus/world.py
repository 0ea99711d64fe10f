"""The people, places and things in all texts, read from `world.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PRONOUNS = {"she": ("she", "her", "her"), "he": ("he", "his", "him")}


@dataclass(frozen=True)
class Town:
    """A town and its two fixed facts."""

    name: str
    river: str
    craft: str


@dataclass(frozen=True)
class World:
    """Word lists by name, pronouns by person, and the towns."""

    words: dict[str, tuple[str, ...]]
    pronouns: dict[str, tuple[str, str, str]]
    towns: tuple[Town, ...]


@cache
def world() -> World:
    """Read the world; the same object every time."""
    raw = tomllib.loads((Path(__file__).parent / "world.toml").read_text(encoding="utf-8"))
    people = [entry.split("/") for entry in raw.pop("people")]
    towns = tuple(Town(*entry.split("/")) for entry in raw.pop("towns"))
    words = {name: tuple(values) for name, values in raw.items()}
    words["people"] = tuple(name for name, _ in people)
    words["towns"] = tuple(town.name for town in towns)
    return World(words, {name: PRONOUNS[pronoun] for name, pronoun in people}, towns)
