"""Compares the files beside the weights with the source's: licences and notices, and config.json if there is one.

A conversion copies them. config.json decides the arithmetic, but a small change of it, such as another epsilon, hardly
moves the probabilities. No number depends on a licence.
"""

import json
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.companions import NOTICES, is_companion
from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import MAKE_AGAIN, Corrupt

DTYPES = ("dtype", "torch_dtype")
"""Fields, of the configuration and of its parts, that say in which type the weights are stored."""

ABSENT = object()


def check_companions(artifact: Path, snapshot: Path, config: Mapping[str, Any]) -> None:
    """Raise Corrupt if a notice of the snapshot is missing or altered, or if config.json says something else.

    config: that of the source's view. A format that stores its configuration in the weights' file has no config.json.
    """
    for name in Snapshot(snapshot).paths():
        if is_companion(name, NOTICES):
            copy = artifact / name
            if not copy.is_file():
                raise Corrupt(f"The artifact lacks {name} of the source; {MAKE_AGAIN}.")
            if copy.read_bytes() != (snapshot / name).read_bytes():
                raise Corrupt(f"The artifact's {name} differs from the source's; {MAKE_AGAIN}.")
    if not (artifact / CONFIG).is_file():
        return
    if difference := next(_differences(_without_dtypes(_read(artifact / CONFIG)), _without_dtypes(config)), None):
        field, found, wanted = difference
        raise Corrupt(
            f"The artifact's {CONFIG}: {field} is {_say(found)}, and the source's is {_say(wanted)}; {MAKE_AGAIN}."
        )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"The artifact's {CONFIG} is not valid JSON ({error}); {MAKE_AGAIN}.") from error
    if not isinstance(content, dict):
        raise Corrupt(f"The artifact's {CONFIG} is not a JSON object; {MAKE_AGAIN}.")
    return content


def _without_dtypes(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {inner: each for inner, each in value.items() if inner not in DTYPES}
        if isinstance(value, dict)
        else value
        for name, value in config.items()
        if name not in DTYPES
    }


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path of the field, value in one, value in the other) where two objects differ, by name."""
    for name in sorted({*one, *other}):
        mine, its = one.get(name, ABSENT), other.get(name, ABSENT)
        if isinstance(mine, dict) and isinstance(its, dict):
            yield from _differences(mine, its, f"{path}{name}.")
        elif mine != its or type(mine) is not type(its):
            yield f"{path}{name}", mine, its


def _say(value: Any) -> str:
    return "missing" if value is ABSENT else reprlib.repr(value)
