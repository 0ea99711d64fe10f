"""Reads the declarations of runtimes. The file `deploy/runtimes/NAME.toml` declares the runtime NAME.

Each file contains everything that is specific to its runtime. To add a runtime, add a file and lock it. Example:

    # The runner of ONNX.
    install = "setup"
    tests = true
    requires = ["onnxruntime", "numpy"]
    imports = ["onnxruntime"]
    heavy = ["onnxruntime", "numpy"]

This module imports only the standard library and `tasks.errors`: the set-up reads it before anything is installed.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from tasks.errors import InvalidDeclaration

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "runtimes"
"""The declarations (NAME.toml) and their locks (NAME.txt)."""

TOOLS = "{tools}"
"""In the value of a variable, this is replaced by the folder of the built native tools."""

Install = Literal["setup", "tests", "first-use"]
Torch = Literal["cpu", "cuda"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class NativeNeed:
    """A native tool that a runtime needs.

    parts: names of the parts of the tool that must be built.
    bindings: whether the tool's Python bindings are installed in the environment.
    """

    tool: str
    parts: tuple[str, ...]
    bindings: bool = False


@dataclass(frozen=True)
class RuntimeDeclaration:
    """The declaration of one runtime.

    install: when the environment is installed: by `make setup`, by `make test`, or when a command asks for it.
    requires: requirements in pip's syntax, one per entry. The lock contains the versions to which they resolve.
    imports: modules that must be importable, else the installation fails.
    includes: runtimes whose requirements and locked versions are also those of this one.
    installed_apart: pins of torch and of packages from torch's own index. They are installed after the lock and without
        hashes, because the same version has different bytes on each index.
    torch: which build of torch the environment contains; None if it contains no torch.
    native: the native tools that the runtime needs.
    environment: environment variables for a task's process; `{tools}` is replaced by the folder of native tools.
    heavy: modules that code which runs while DAGs are parsed may not import at module level.
    tests: whether test files marked with this runtime are run by its interpreter.
    """

    name: str
    install: Install
    requires: tuple[str, ...]
    imports: tuple[str, ...]
    includes: tuple[str, ...] = ()
    installed_apart: tuple[str, ...] = ()
    torch: Torch | None = None
    native: tuple[NativeNeed, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    heavy: tuple[str, ...] = ()
    tests: bool = False

    @property
    def torch_version(self) -> str | None:
        """The version of torch in `installed_apart`, or None if the runtime contains no torch."""
        pins = [line.split()[0].partition("==") for line in self.installed_apart]
        return next((version for package, _, version in pins if package == "torch"), None)

    def variables(self, tools: Path) -> dict[str, str]:
        """Return the environment variables for a task's process. `tools` is the folder of the native tools."""
        return {name: value.replace(TOOLS, str(tools)) for name, value in self.environment.items()}


def declared_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of all runtimes, in alphabetical order."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_all(folder: Path = FOLDER) -> dict[str, RuntimeDeclaration]:
    """Return all declarations by the runtimes' names. Raises InvalidDeclaration for the first wrong one."""
    return {name: read_declaration(name, folder) for name in declared_names(folder)}


def read_declaration(name: str, folder: Path = FOLDER) -> RuntimeDeclaration:
    """Return the declaration of the runtime `name`.

    Raises:
        InvalidDeclaration: if the file is missing or wrong. The message contains the file and the key.
    """
    path = folder / f"{name}.toml"
    source = f"deploy/runtimes/{name}.toml"
    try:
        table = _Table(source, tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InvalidDeclaration(f"There is no runtime {name!r}: {source} does not exist; add it.") from None
    except ValueError as error:
        raise InvalidDeclaration(f"{source} is not valid TOML: {error}.") from error
    declaration = RuntimeDeclaration(
        name=name,
        install=table.take("install", _one_of(get_args(Install))),
        requires=table.take("requires", _requirements),
        imports=table.take("imports", _texts),
        includes=table.take("includes", _texts, ()),
        installed_apart=table.take("installed_apart", _pins, ()),
        torch=table.take("torch", _one_of(get_args(Torch)), None),
        native=table.take("native", _native(source), ()),
        environment=table.take("environment", _variables, {}),
        heavy=table.take("heavy", _texts, ()),
        tests=table.take("tests", _truth, False),
    )
    table.refuse_others()
    if (declaration.torch is None) != (declaration.torch_version is None) or (
        declaration.installed_apart and not declaration.torch
    ):
        raise InvalidDeclaration(
            f"{source}: 'torch' (\"cpu\" or \"cuda\") and a pin `torch==VERSION` in 'installed_apart' go together: "
            "write both or neither."
        )
    return declaration


class _Table:
    """Reads a TOML table key by key, and finds keys that are unknown."""

    def __init__(self, source: str, entries: Mapping[str, Any]) -> None:
        self._source = source
        self._entries = entries
        self._known: list[str] = []

    def take(self, key: str, read: Callable[[Any], Value], *default: Value) -> Value:
        """Return the value of `key`, checked by `read`, or the default if the key is missing."""
        self._known.append(key)
        if key not in self._entries:
            if default:
                return default[0]
            raise InvalidDeclaration(f"{self._source}: the key {key!r} is missing; add it.")
        try:
            return read(self._entries[key])
        except ValueError as error:
            raise InvalidDeclaration(f"{self._source}: {key!r} {error}.") from error

    def refuse_others(self) -> None:
        """Raise InvalidDeclaration if the table has a key that was never asked for by `take`."""
        for key in self._entries:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"the known keys are {', '.join(sorted(self._known))}."
                raise InvalidDeclaration(f"{self._source}: unknown key {key!r}; {hint}")


def _one_of(choices: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    return read


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValueError(f"must be a list of texts, not {value!r}")
    return tuple(value)


def _requirements(value: Any) -> tuple[str, ...]:
    """Return the requirements. An option or an address is refused, because it would tie the lock to one machine."""
    for line in (lines := _texts(value)):
        if not re.fullmatch(r"[A-Za-z0-9][^\n@]*", line) or "://" in line:
            raise ValueError(f"must contain names of packages, without options and addresses, not {line!r}")
    return lines


def _pins(value: Any) -> tuple[str, ...]:
    for line in (lines := _texts(value)):
        if not re.fullmatch(r"[a-z0-9._-]+==\S+", line):
            raise ValueError(f"must contain exact versions (package==version), not {line!r}")
    return lines


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table of variables, not {value!r}")
    for name, text in value.items():
        if not isinstance(text, str) or "{" in text.replace(TOOLS, ""):
            raise ValueError(f"must give {name} a text with no other braces than {TOOLS}, not {text!r}")
    return dict(value)


def _native(source: str) -> Callable[[Any], tuple[NativeNeed, ...]]:
    def read(value: Any) -> tuple[NativeNeed, ...]:
        if not isinstance(value, dict) or not all(isinstance(entries, dict) for entries in value.values()):
            raise ValueError(f"must be a table for each native tool, not {value!r}")
        needs = []
        for tool, entries in value.items():
            table = _Table(f"{source}: native.{tool}", entries)
            need = NativeNeed(
                tool,
                parts=table.take("parts", _texts),
                bindings=table.take("bindings", _truth, False),
            )
            needs.append(need)
            table.refuse_others()
        return tuple(needs)

    return read
