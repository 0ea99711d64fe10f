"""Opens an artifact in its engine.

It runs in the engine's runtime. The format names its inspect function and the engine its runner as "module:function",
so this module imports neither before it is needed.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from tasks.engines.runner import Runner
from tasks.formats.base import Target
from tasks.formats.registry import load_format
from tasks.host.at_work import at_work_on


def open_artifact(target: Target, folder: Path, threads: int) -> Runner:
    """Check the artifact in `folder` as `check_artifact` does, then load it in its engine."""
    return check_artifact(target, folder, threads)()


def check_artifact(target: Target, folder: Path, threads: int) -> Callable[[], Runner]:
    """Check the artifact in `folder` with its format's `inspect`. Return the function that loads it in its engine.

    The order matters: an engine trusts its files. Some engines crash on malformed files, or follow paths in them to
    other files of the host.

    Raises InvalidRecipe for an unknown format, and Corrupt for an artifact that `inspect` rejects.
    """
    format = load_format(target.format)
    imported(format.inspect)(folder)
    files = ", ".join(sorted(path.name for pattern in format.weights for path in folder.glob(pattern)))
    open_runner = cast(Callable[[Path, int], Runner], imported(format.engine(target).runner))

    def load() -> Runner:
        at_work_on(f"the loading of {files}")
        return open_runner(folder, threads)

    return load


def imported(reference: str) -> Callable[..., Any]:
    """Return what a reference "module:function" names, imported now."""
    module, function = reference.split(":")
    return cast(Callable[..., Any], getattr(import_module(module), function))
