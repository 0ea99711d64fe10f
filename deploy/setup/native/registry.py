"""The native tools by name. A second one is one more folder here and one more line in `MODULES`.

A tool's folder holds:

- `build.py`: `PARTS` and `ensure_parts`, which builds parts of it (see Builder);
- `bindings.py`, where it has Python bindings: what an environment with them is made from (see Bindings);
- `source.txt`: the pinned requirement, with its hash, that its sources come from.

Names are kept apart from modules so that building, which needs an environment, can import the module of environments.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from deploy.setup.errors import SetupError
from deploy.setup.requirements import requirement_lines

MODULES = {"llama.cpp": "llama_cpp"}
"""Each tool's name, and its folder in this package."""


class Builder(Protocol):
    """How a tool is built."""

    PARTS: Collection[str]
    """The names of the parts that can be built."""

    def ensure_parts(self, parts: Sequence[str]) -> bool:
        """Build the parts that are not built yet, and return whether there was any; raises SetupError."""


class Bindings(Protocol):
    """The Python bindings of a tool, as an environment holds them."""

    def build_digest(self) -> str:
        """Return the sha256, in hexadecimal, of all that decides what the wanted build computes."""

    def install(self, name: str, environment: Path, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Install them into the environment of the runtime `name` by an install command of uv; raises SetupError."""


def tools() -> list[str]:
    """Return the names of the native tools."""
    return sorted(MODULES)


def builder(tool: str) -> Builder:
    """Return the module that builds the tool; raises SetupError where there is no such tool."""
    return cast(Builder, import_module(f"{_package(tool)}.build"))


def bindings(tool: str) -> Bindings:
    """Return the module of the tool's Python bindings; raises SetupError where there is no such tool."""
    return cast(Bindings, import_module(f"{_package(tool)}.bindings"))


def sources(tool: str) -> list[str]:
    """Return the pinned requirements that the tool's sources come from; raises SetupError for an unknown tool."""
    package = _package(tool).rpartition(".")[2]
    return requirement_lines((Path(__file__).with_name(package) / "source.txt").read_text())


def _package(tool: str) -> str:
    if tool not in MODULES:
        raise SetupError(f"There is no native tool {tool!r}: name one of {', '.join(tools())}.")
    return f"{__package__}.{MODULES[tool]}"
