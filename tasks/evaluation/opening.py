"""Loads the runner of a format by its "module:function", inside the runtime of that format's engine."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from tasks.evaluation.runner import Runner
from tasks.formats.registry import load_format


def open_artifact(format_name: str, folder: Path, threads: int) -> Runner:
    """Return the artifact in `folder`, loaded in its engine; raises InvalidRecipe for an unknown format."""
    module, function = load_format(format_name).runner.split(":")
    open_runner = cast(Callable[[Path, int], Runner], getattr(import_module(module), function))
    return open_runner(folder, threads)
