"""Opens an artifact in its engine.

It runs in the engine's runtime. The format names its inspect function and the engine its runner as "module:function",
so this module imports neither before it is needed.
"""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

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
    resolve_name(format.inspect)(folder)
    files = ", ".join(sorted(path.name for pattern in format.weights for path in folder.glob(pattern)))
    open_runner = cast(Callable[[Path, int], Runner], resolve_name(format.engine(target).runner))

    def load() -> Runner:
        at_work_on(f"the loading of {files}")
        return open_runner(folder, threads)

    return load
