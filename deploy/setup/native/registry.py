"""The table of native tools. To add one, add a folder here and a line in `MODULES`.

A tool's folder contains:

- `build.py`: `PARTS` and `ensure_parts`, which builds parts of the tool (see Builder);
- `bindings.py`, if the tool has Python bindings: installs them into an environment (see Bindings);
- `source.txt`: the pinned requirement, with its hash, that contains the tool's sources.

A tool may import the set-up's helpers, but not `environments`, which itself uses tools. So the environment that a tool
needs is passed to it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

MODULES = {"llama.cpp": "llama_cpp"}
"""Each tool's name, and its folder in this package."""


class Builder(Protocol):
    """The module `build.py` of a tool."""

    PARTS: Collection[str]
    """The names of the parts that can be built."""

    def ensure_parts(self, parts: Sequence[str], build_environment: Callable[[], Path]) -> bool:
        """Build the parts that are not built yet. Return whether there were any. Raises SetupError.

        build_environment: installs the environment of the build tools and returns its folder. It is called only if
            there is something to build.
        """


class Bindings(Protocol):
    """The module `bindings.py` of a tool."""

    def build_digest(self) -> str:
        """Return the sha256, in hexadecimal, of everything that decides what the tool's build computes."""

    def install(self, name: str, environment: Path, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Install the bindings into the environment of the runtime `name`. Raises SetupError.

        command: the install command of uv, to which the wheel is added.
        env: the environment variables for uv.
        """


def tools() -> list[str]:
    """Return the names of the native tools."""
    return sorted(MODULES)


def builder(tool: str) -> Builder:
    """Return the module that builds the tool. Raises KeyError for a name that is not in `MODULES`."""
    return cast(Builder, import_module(f"{__package__}.{MODULES[tool]}.build"))


def bindings(tool: str) -> Bindings:
    """Return the module of the tool's Python bindings. Raises KeyError for a name that is not in `MODULES`."""
    return cast(Bindings, import_module(f"{__package__}.{MODULES[tool]}.bindings"))


def source_file(tool: str) -> Path:
    """Return the requirements file for the tool's sources. Raises KeyError for a name that is not in `MODULES`."""
    return Path(__file__).with_name(MODULES[tool]) / "source.txt"
