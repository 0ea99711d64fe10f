"""The table of all formats, and the function that turns a recipe's entry into a target.

FORMATS maps a format's name to "module:attribute". A new format needs one more line there. A format's module is
imported when the format is used for the first time, and it imports no converter.
"""

import re
from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from typing import Any

from pydantic import ValidationError

from tasks.errors import InvalidRecipe
from tasks.formats.base import SOURCES, Format, Precision, Target
from tasks.model import Model, explain
from tasks.names import did_you_mean
from tasks.pools import NAME

FORMATS = {
    "safetensors": "tasks.formats.safetensors.target:FORMAT",
    "gguf": "tasks.formats.gguf.target:FORMAT",
    "onnx": "tasks.formats.onnx.target:FORMAT",
}

RELEASE_TASKS = (
    *("pin", "fetch", "scan", "analyze", "preflight", "evaluation_text", "calibration_text", "reference"),
    *("register", "report", "promote", "conclude"),
)
"""The tasks of every release. A target with one of these names would be a second node of that name in the graph."""

TARGET_TASKS = (
    *("convert", "convert_control", "compare_weights", "evaluate", "compare_control", "benchmark", "gate", "judged"),
)
"""The tasks of a target. A pool with one of these names would be a second node of that name in the graph."""

VARIANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""The names that `as` may give. They become parts of registered models' names, of tasks' ids and of folders' names."""


@cache
def load_format(name: str) -> Format:
    """Return the format of that name. Raises InvalidRecipe, with the nearest known name, if there is none."""
    if name not in FORMATS:
        raise InvalidRecipe(f"There is no format {name!r}{did_you_mean(name, FORMATS)}.")
    found = resolve_name(FORMATS[name])
    assert isinstance(found, Format)
    return found


def parse_target(name: str, options: Mapping[str, Any] | None = None) -> Target:
    """Return the target that a recipe names, for example `gguf-q4_k_m`, with the recipe's options for it.

    Every target has three options besides its own. `as` gives it another name, so that a recipe can contain the same
    target twice. `maker` chooses one of the format's makers. `on` names the pools in each of which it must be proven.
    The settings of each host declare the pools, so `on` may name one that does not exist here.

    Raises InvalidRecipe for an unknown name (with the nearest known one) and for a wrong option.
    """
    format = _format_of(name)
    given = dict(options or {})
    called, maker = given.pop("as", name), given.pop("maker", next(iter(format.makers)))
    if called != name and not _may_be_called(called):
        raise InvalidRecipe(
            f"The target {name!r} cannot be called {called!r}: 'as' needs a name of at most 64 lower-case letters, "
            "digits and '_-' that is not the name of another target, or of a task of every release."
        )
    if not isinstance(maker, str) or maker not in format.makers:
        raise InvalidRecipe(f"The target {name!r} has no maker {maker!r}{did_you_mean(str(maker), format.makers)}.")
    pools = _pools(name, given.pop("on")) if "on" in given else ()
    scheme = name.removeprefix(f"{format.name}-")
    chosen = _options(name, format.schemes[scheme], given)
    described = format.describe(scheme, chosen)
    assert not described.servable or scheme in format.precisions, (
        f"the format {format.name!r} has no precision of {scheme!r}"
    )
    assert described.control is None or format.same_weights, (
        f"the format {format.name!r} has controls and no function that compares weights"
    )
    if pools and not described.servable:
        raise InvalidRecipe(f"The target {name!r}: no engine can run it, so remove the option 'on'.")
    return Target(
        name=called,
        format=format.name,
        scheme=scheme,
        maker=maker,
        engines=tuple(engine.name for engine in format.engines) if described.servable else (),
        on=pools,
        requires=tuple(described.requires),
        options=chosen.model_dump(mode="json"),
    )


def precision_of(target: Target) -> Precision:
    """Return the precision of a target that an engine can run."""
    return load_format(target.format).precisions[target.scheme]


def _pools(name: str, on: Any) -> tuple[str, ...]:
    """Return the pools of the option `on`. Their names become parts of tasks' ids, beside those of a target's tasks."""
    fitting = isinstance(on, list) and all(isinstance(pool, str) and re.fullmatch(NAME, pool) for pool in on)
    if not fitting or not on:
        raise InvalidRecipe(
            f"The target {name!r}: the option 'on' must list the names of pools, such as [cpu, cpu-large]."
        )
    if twice := [pool for pool in on if on.count(pool) > 1]:
        raise InvalidRecipe(f"The target {name!r}: the option 'on' lists the pool {twice[0]!r} twice.")
    if taken := [pool for pool in on if pool in TARGET_TASKS]:
        raise InvalidRecipe(
            f"The target {name!r}: the option 'on' names {taken[0]!r}, which is a task of a target; rename the pool."
        )
    return tuple(on)


def target_names() -> list[str]:
    """Return the target names of all formats."""
    return [name for known in FORMATS for name in load_format(known).target_names]


def _may_be_called(called: Any) -> bool:
    if not isinstance(called, str) or not VARIANT.fullmatch(called):
        return False
    return called not in target_names() and called not in RELEASE_TASKS and called not in SOURCES


def _format_of(name: str) -> Format:
    # The name of a format may contain a hyphen, so the longest matching name counts.
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
        raise InvalidRecipe(f"The target {name!r}: option {explain(error, kind)}.") from error
