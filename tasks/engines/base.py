"""What every engine says about itself. Light: it is read whenever a recipe is parsed, and imports no engine.

An engine is a folder `tasks/engines/NAME/` with the same modules:

    engine.py    ENGINE, an `Engine`: all that the rest of Hallmark knows of it
    serving.py   opens an artifact; imports nothing of this repository, because a copy travels with the artifact
    runner.py    opens the same code for measuring, and says how it decodes several sequences together, if it does
    usage.py     the lines with which a person runs an artifact
    server.py    if the engine has a server of its own: asks it what it makes of chats
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.contract import ANY_PROCESSOR, Needs
from tasks.settings import REPOSITORY


@dataclass(frozen=True)
class Usage:
    """One way to use a released artifact: a title, and the lines to run."""

    title: str
    lines: str


@dataclass(frozen=True)
class Server:
    """A server that comes with an engine and renders chats by code of its own.

    read_chats: "module:function" of (the artifact's folder, its facts, chats as lists of messages, an empty folder) ->
        for each chat the token ids that the server reads for it, or the words with which it refuses it. The server is
        started with the options of `Engine.usage`. Raises ToolFailed where it does not run.
    facts: the artifact's facts that decide these options.
    """

    read_chats: str
    facts: Sequence[str]


@dataclass(frozen=True)
class Engine:
    """An engine's entry points.

    name: as people know it (`llama.cpp`).
    runtime: the locked environment that it lives in; evaluation and benchmark run there.
    runner: "module:function" of (folder, threads) -> tasks.engines.runner.Runner, imported in that runtime.
    serving: the module that travels with an artifact; it defines `open_engine(folder, threads)`, which returns a
        `LoadedModel` of tasks/engines/text_model.py.
    usage: (the artifact's folder, its files' paths, its facts, a prompt, the most tokens that a line should serve or
        None) -> the ways to run it without MLflow.
    server: the engine's own server; None if it has none.
    requirements: pip requirements of the serving module; see `pinned_requirements`.
    native: native tool builds that decide what it computes (see tasks.runtimes).
    needs: the hardware it runs on.
    """

    name: str
    runtime: str
    runner: str
    serving: str
    usage: Callable[[str, Sequence[str], Mapping[str, Any], str, int | None], list[Usage]]
    server: Server | None = None
    requirements: Sequence[str] = ()
    native: Sequence[str] = ()
    needs: Needs = ANY_PROCESSOR

    @property
    def serving_file(self) -> Path:
        """The file of the serving module. It is copied and not imported: a converter's runtime may lack the engine."""
        return REPOSITORY / f"{self.serving.replace('.', '/')}.py"

    def pinned_requirements(self) -> list[str]:
        """Return the requirements of an artifact that is made in this process, for `write_mlmodel`.

        A requirement that is only a name is pinned to the version installed here. A build for one kind of hardware
        (2.13.0+cpu) is pinned without that suffix, which package indexes do not know.
        """
        return [
            line if re.search(r"[=<>~!]", line) else f"{line}=={version(line).partition('+')[0]}"
            for line in self.requirements
        ]
