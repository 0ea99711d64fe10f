"""The native tools by name. A second one is one more folder here and one more line in `MODULES`.

A tool's folder holds:

- `build.py`: `PARTS` and `ensure_parts`, which builds parts of it (see Builder);
- `bindings.py`, where it has Python bindings: what an environment with them is made from (see Bindings);
- `source.txt`: the pinned requirement, with its hash, that its sources come from.

A tool imports the set-up's helpers and never its environments, which are made with tools: it is handed the one that
it needs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

MODULES = {"llama.cpp": "llama_cpp"}
"""Each tool's name, and its folder in this package."""


class Builder(Protocol):
    """How a tool is built."""

    PARTS: Collection[str]
    """The names of the parts that can be built."""

    def ensure_parts(self, parts: Sequence[str], build_environment: Callable[[], Path]) -> bool:
        """Build the parts that are not built yet, and return whether there was any; raises SetupError.

        build_environment: makes the environment of the build tools and returns its folder; called where there is
            anything to build.
        """


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
    """Return the module that builds the tool; raises KeyError for a name that is not in `MODULES`."""
    return cast(Builder, import_module(f"{__package__}.{MODULES[tool]}.build"))


def bindings(tool: str) -> Bindings:
    """Return the module of the tool's Python bindings; raises KeyError for a name that is not in `MODULES`."""
    return cast(Bindings, import_module(f"{__package__}.{MODULES[tool]}.bindings"))


def source_file(tool: str) -> Path:
    """Return the requirements file that the tool's sources come from; raises KeyError as `builder` does."""
    return Path(__file__).with_name(MODULES[tool]) / "source.txt"
