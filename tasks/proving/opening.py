"""Opens an artifact in its engine, inside that engine's runtime, by the "module:function" of its runner."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from tasks.engines.runner import Runner
from tasks.formats.base import Target
from tasks.formats.registry import load_format


def open_artifact(target: Target, folder: Path, threads: int) -> Runner:
    """Return the artifact in `folder`, loaded in its engine, but not before it has been read without that engine.

    Raises InvalidRecipe for an unknown format, and Corrupt for an artifact that is not what it says: an engine believes
    its files, and some crash on, or follow, what their format's `inspect` refuses.
    """
    format = load_format(target.format)
    _imported(format.inspect)(folder)
    open_runner = cast(Callable[[Path, int], Runner], _imported(format.engine(target).runner))
    return open_runner(folder, threads)


def _imported(reference: str) -> Callable[..., Any]:
    module, function = reference.split(":")
    return cast(Callable[..., Any], getattr(import_module(module), function))
