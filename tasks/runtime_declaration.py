"""What `deploy/runtimes/NAME.toml` declares about the runtime NAME, for the set-up and for tasks.

One file holds all that is particular to a runtime, so adding one is adding one file and locking it:

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
"""Stands, in a variable's value, for the folder of the built native tools."""

Install = Literal["setup", "tests", "first-use"]
Torch = Literal["cpu", "cuda"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class NativeNeed:
    """A native tool that a runtime needs.

    parts: the parts of the tool that have to be built, by the names that the tool gives them.
    bindings: whether the tool's Python bindings are installed in the environment.
    test_parts: further parts, which only tests need.
    """

    tool: str
    parts: tuple[str, ...]
    bindings: bool = False
    test_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuntimeDeclaration:
    """One runtime as its file declares it.

    install: when the environment is made: by `make setup`, by `make test`, or only when it is asked for.
    requires: requirements, one per entry, as pip reads them; the lock holds what they resolve to.
    imports: modules that have to import before the environment counts as made.
    includes: runtimes whose requirements and locked versions this one takes over.
    installed_apart: torch, pinned, and what comes from where it comes from: installed after the lock and without a
        hash, because the same version has other bytes in each place.
    torch: which build of torch the environment holds; None: its lock may not hold torch.
    native: the native tools that it needs.
    environment: variables that a task's process gets in this runtime; `{tools}` is the folder of native tools.
    heavy: modules that may not be imported at module level where DAGs are parsed.
    tests: whether the interpreter of this runtime runs the test files that name it.
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
        """The version of torch that is installed apart; None where the runtime holds no torch."""
        pins = [line.split()[0].partition("==") for line in self.installed_apart]
        return next((version for package, _, version in pins if package == "torch"), None)

    def variables(self, tools: Path) -> dict[str, str]:
        """Return the variables that a task's process gets, where the native tools are in the folder `tools`."""
        return {name: value.replace(TOOLS, str(tools)) for name, value in self.environment.items()}


def declared_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of all runtimes, in alphabetical order."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_all(folder: Path = FOLDER) -> dict[str, RuntimeDeclaration]:
    """Return every runtime's declaration by its name; raises InvalidDeclaration for the first that is wrong."""
    return {name: read_declaration(name, folder) for name in declared_names(folder)}


def read_declaration(name: str, folder: Path = FOLDER) -> RuntimeDeclaration:
    """Return the declaration of the runtime `name`.

    Raises:
        InvalidDeclaration: where the file is missing, or something in it is wrong; names the file and the key.
    """
    path = folder / f"{name}.toml"
    told = f"deploy/runtimes/{name}.toml"
    try:
        table = _Table(told, tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InvalidDeclaration(f"There is no runtime {name!r}: {told} does not exist.") from None
    except ValueError as error:
        raise InvalidDeclaration(f"{told} is not valid TOML: {error}.") from error
    declaration = RuntimeDeclaration(
        name=name,
        install=table.take("install", _one_of(get_args(Install))),
        requires=table.take("requires", _requirements),
        imports=table.take("imports", _texts),
        includes=table.take("includes", _texts, ()),
        installed_apart=table.take("installed_apart", _pins, ()),
        torch=table.take("torch", _one_of(get_args(Torch)), None),
        native=table.take("native", _native(told), ()),
        environment=table.take("environment", _variables, {}),
        heavy=table.take("heavy", _texts, ()),
        tests=table.take("tests", _truth, False),
    )
    table.refuse_others()
    if (declaration.torch is None) != (declaration.torch_version is None) or (
        declaration.installed_apart and not declaration.torch
    ):
        raise InvalidDeclaration(
            f"{told}: 'torch' (\"cpu\" or \"cuda\") and a pin `torch==VERSION` in 'installed_apart' go together: "
            "write both or neither."
        )
    return declaration


class _Table:
    """A TOML table of which every key has to be taken."""

    def __init__(self, told: str, entries: Mapping[str, Any]) -> None:
        self._told = told
        self._entries = entries
        self._known: list[str] = []

    def take(self, key: str, read: Callable[[Any], Value], *default: Value) -> Value:
        """Return the value of `key` as `read` gives it, or the default where the key is missing."""
        self._known.append(key)
        if key not in self._entries:
            if default:
                return default[0]
            raise InvalidDeclaration(f"{self._told}: the key {key!r} is missing.")
        try:
            return read(self._entries[key])
        except ValueError as error:
            raise InvalidDeclaration(f"{self._told}: {key!r} {error}.") from error

    def refuse_others(self) -> None:
        """Raise InvalidDeclaration for a key that was not taken."""
        for key in self._entries:
            if key not in self._known:
                near = get_close_matches(key, self._known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(self._known))}."
                raise InvalidDeclaration(f"{self._told}: unknown key {key!r}; {hint}")


def _one_of(choices: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, and is {value!r}")
        return value

    return read


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, and is {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValueError(f"must be a list of texts, and is {value!r}")
    return tuple(value)


def _requirements(value: Any) -> tuple[str, ...]:
    """Requirements of packages alone: an option or an address would tie the lock to one machine."""
    for line in (lines := _texts(value)):
        if not re.fullmatch(r"[A-Za-z0-9][^\n@]*", line) or "://" in line:
            raise ValueError(f"must name packages, without options and addresses, and holds {line!r}")
    return lines


def _pins(value: Any) -> tuple[str, ...]:
    for line in (lines := _texts(value)):
        if not re.fullmatch(r"[a-z0-9._-]+==\S+", line):
            raise ValueError(f"must hold exact versions (package==version), and holds {line!r}")
    return lines


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table of variables, and is {value!r}")
    for name, text in value.items():
        if not isinstance(text, str) or "{" in text.replace(TOOLS, ""):
            raise ValueError(f"must give {name} a text in which only {TOOLS} is replaced, and gives {text!r}")
    return dict(value)


def _native(told: str) -> Callable[[Any], tuple[NativeNeed, ...]]:
    def read(value: Any) -> tuple[NativeNeed, ...]:
        if not isinstance(value, dict) or not all(isinstance(entries, dict) for entries in value.values()):
            raise ValueError(f"must be a table for each native tool, and is {value!r}")
        needs = []
        for tool, entries in value.items():
            table = _Table(f"{told}: native.{tool}", entries)
            need = NativeNeed(
                tool,
                parts=table.take("parts", _texts),
                bindings=table.take("bindings", _truth, False),
                test_parts=table.take("test_parts", _texts, ()),
            )
            needs.append(need)
            table.refuse_others()
        return tuple(needs)

    return read
