"""Which formats exist. Names map to "module:attribute"; listing them imports no tool."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from tasks.errors import InvalidRecipe
from tasks.formats.base import Format, Target
from tasks.model import Model, explain
from tasks.names import did_you_mean

FORMATS = {
    "safetensors": "tasks.formats.safetensors.target:FORMAT",
    "gguf": "tasks.formats.gguf.target:FORMAT",
    "onnx": "tasks.formats.onnx.target:FORMAT",
}

VARIANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What `as` may call a target: a part of a registered model's name, of a task's id, and of a folder's."""


@cache
def load_format(name: str) -> Format:
    """Return the format of that name; raises InvalidRecipe with the nearest known one."""
    if name not in FORMATS:
        raise InvalidRecipe(f"There is no format {name!r}{did_you_mean(name, FORMATS)}.")
    module, attribute = FORMATS[name].split(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, Format)
    return found


def parse_target(name: str, options: Mapping[str, Any] | None = None) -> Target:
    """Return the target of a name such as `gguf-q4_k_m`, with the recipe's options for it.

    Two options are every target's: `as` gives it a name of its own, so that a recipe can hold one target twice, and
    `maker` chooses among the format's makers. Raises InvalidRecipe with the nearest known name, or naming the option
    that is wrong.
    """
    format = _format_of(name)
    given = dict(options or {})
    called, maker = given.pop("as", name), given.pop("maker", next(iter(format.makers)))
    if called != name and (not isinstance(called, str) or not VARIANT.fullmatch(called) or called in target_names()):
        raise InvalidRecipe(
            f"The target {name!r} cannot be called {called!r}: 'as' takes up to 64 lower-case letters, digits and "
            "'_-' that are no target's name."
        )
    if maker not in format.makers:
        raise InvalidRecipe(f"The target {name!r} has no maker {maker!r}{did_you_mean(str(maker), format.makers)}.")
    scheme = name.removeprefix(f"{format.name}-")
    chosen = _options(name, format.schemes[scheme], given)
    described = format.describe(scheme, chosen)
    return Target(
        name=called,
        format=format.name,
        scheme=scheme,
        maker=maker,
        engines=tuple(engine.name for engine in format.engines) if described.servable else (),
        requires=tuple(described.requires),
        options=chosen.model_dump(mode="json"),
    )


def target_names() -> list[str]:
    """Return every target name that some format makes."""
    return [name for known in FORMATS for name in load_format(known).target_names]


def _format_of(name: str) -> Format:
    # A format's name may hold a hyphen itself.
    known = [
        format for format in map(load_format, FORMATS) if name == format.name or name.startswith(f"{format.name}-")
    ]
    if not known:
        raise InvalidRecipe(f"No format makes the target {name!r}{did_you_mean(name, target_names())}.")
    format = max(known, key=lambda found: len(found.name))
    if name not in format.target_names:
        raise InvalidRecipe(f"There is no target {name!r}{did_you_mean(name, format.target_names)}.")
    return format


def _options(name: str, kind: type[Model], given: Mapping[str, Any]) -> Model:
    for option in given:
        if option not in kind.model_fields:
            known = did_you_mean(option, kind.model_fields) if kind.model_fields else " (it has none)"
            raise InvalidRecipe(f"The target {name!r} has no option {option!r}{known}.")
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise InvalidRecipe(f"The target {name!r}: option {explain(error)}.") from error
