"""Which formats exist. Names map to "module:attribute"; listing them imports no tool."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from tasks.errors import InvalidRecipe
from tasks.formats.base import Format, Target
from tasks.names import did_you_mean

FORMATS = {
    "safetensors": "tasks.formats.safetensors.target:FORMAT",
    "gguf": "tasks.formats.gguf.target:FORMAT",
    "onnx": "tasks.formats.onnx.target:FORMAT",
}


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
    """Return the target of a name such as `gguf-q4_k_m`; raises InvalidRecipe with the nearest known name."""
    format_name = name.split("-", 1)[0]
    if format_name not in FORMATS:
        raise InvalidRecipe(f"No format makes the target {name!r}{did_you_mean(name, target_names())}.")
    format = load_format(format_name)
    if name not in format.names:
        raise InvalidRecipe(f"There is no target {name!r}{did_you_mean(name, list(format.names))}.")
    return format.parse(name, options or {})


def target_names() -> list[str]:
    """Return every target name that some format makes."""
    return [name for known in FORMATS for name in load_format(known).names]
