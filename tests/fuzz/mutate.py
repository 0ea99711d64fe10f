"""Mutations that keep JSON well-formed: most of what a byte-wise mutator makes of it never gets past the parser."""

import json
import random
from collections.abc import Callable
from typing import Any

Mutator = Callable[[bytes, int, int], bytes]

STRANGE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        7,
        2**31,
        2**63 - 1,
        2**64,
        10**30,
        10**4200,
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "a",
        "..",
        ".",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "\0",
        "\n",
        "\ud800",
        "\x1b[31m",
        "b" * 300,
        "{{ x }}",
        "'",
        "<b>",
    ),
    *([], {}, [[]], [1], ["a"], {"a": 1}, [None, "a", 1]),
)
"""Values that parsers forget about: of the wrong type, too large, not finite, no text, names that lead elsewhere."""

DEPTHS = (30, 200, 450, 900)
"""Levels of nesting around where Python's own parser still answers and a recursive walk over the answer does not."""


def mutate_json(data: bytes, longest: int, seed: int, fallback: Callable[[bytes, int], bytes]) -> bytes:
    """Change one place of a JSON text, or some of its bytes by `fallback`, which also gets what is no JSON."""
    chance = random.Random(seed)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return fallback(data, longest)
    if chance.random() < 0.3:
        return fallback(data, longest)
    try:
        changed = _changed(content, chance)
        if chance.random() < 0.05:
            return _nested(changed, chance)[:longest]
        text = json.dumps(changed).encode()
    except (ValueError, RecursionError):
        return fallback(data, longest)
    return text if len(text) <= longest else fallback(data, longest)


def _changed(value: Any, chance: random.Random) -> Any:
    """Return a copy in which one place is different, deeper places as likely as near ones."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        changed = dict(value)
        action = chance.random()
        if action < 0.6:
            changed[key] = _changed(value[key], chance)
        elif action < 0.75:
            del changed[key]
        elif action < 0.9:
            changed[_word(chance, value)] = value[key]
        else:
            other = chance.choice(list(value))
            changed[key], changed[other] = changed[other], changed[key]
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        action = chance.random()
        if action < 0.6:
            return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
        return value[:place] + value[place + 1 :] if action < 0.8 else [*value, value[place]]
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 2, 8, 256))
    return chance.choice(STRANGE)


def _word(chance: random.Random, known: dict[str, Any]) -> str:
    return chance.choice([*known, *(item for item in STRANGE if isinstance(item, str))])


def _nested(value: Any, chance: random.Random) -> bytes:
    """Put one value of an object, or the whole, below many levels."""
    depth, text = chance.choice(DEPTHS), json.dumps(value)
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        inner = opening * depth + json.dumps(value[key]) + closing * depth
        rest = {name: other for name, other in value.items() if name != key}
        return (json.dumps(rest)[:-1] + ("," if rest else "") + f"{json.dumps(key)}:{inner}}}").encode()
    return (opening * depth + text + closing * depth).encode()
