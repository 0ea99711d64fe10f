"""What every engine says about itself. Light: it is read whenever a recipe is parsed, and imports no engine.

An engine is a folder `tasks/engines/NAME/` with the same modules:

    engine.py    ENGINE, an `Engine`: all that the rest of Hallmark knows of it
    serving.py   opens an artifact; imports nothing of this repository, because a copy travels with the artifact
    runner.py    opens the same code for measuring
    usage.py     the lines with which a person runs an artifact
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contract import ANY_PROCESSOR, Needs
from tasks.settings import REPOSITORY


@dataclass(frozen=True)
class Usage:
    """One way to use a released artifact: a title, and the lines to run."""

    title: str
    lines: str


@dataclass(frozen=True)
class Engine:
    """An engine's entry points.

    name: as people know it (`llama.cpp`).
    runtime: the locked environment that it lives in; evaluation and benchmark run there.
    runner: "module:function" of (folder, threads) -> tasks.engines.runner.Runner, imported in that runtime.
    serving: the module that travels with an artifact; it defines `open_engine(folder, threads)`, which returns an
        `Engine` as tasks/engines/text_model.py describes it.
    usage: (the artifact's folder, its files' paths, a prompt) -> the ways to run it without MLflow.
    native: native tool builds that decide what it computes (see tasks.runtimes).
    needs: the hardware it runs on.
    """

    name: str
    runtime: str
    runner: str
    serving: str
    usage: Callable[[str, Sequence[str], str], list[Usage]]
    native: Sequence[str] = ()
    needs: Needs = ANY_PROCESSOR

    @property
    def serving_file(self) -> Path:
        """The file of the serving module. It is copied and not imported: a converter's runtime may lack the engine."""
        return REPOSITORY / f"{self.serving.replace('.', '/')}.py"
