"""The runtimes as `deploy/runtimes` declares them, and the stamp that says which state an environment is in."""

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.native import registry
from deploy.setup.places import RUNTIMES
from deploy.setup.requirements import requirement_lines
from deploy.setup.torch_source import torch_source
from tasks.errors import InvalidDeclaration
from tasks.runtime_declaration import Install, RuntimeDeclaration, declared_names, read_declaration

BOOTSTRAP = "uv"
"""The environment that makes the others; it is not made by uv."""


def names() -> list[str]:
    """Return the names of the environments that can be made, in alphabetical order."""
    return [name for name in declared_names(RUNTIMES) if name != BOOTSTRAP]


def declaration(name: str) -> RuntimeDeclaration:
    """Return what is declared of the runtime `name`.

    Raises:
        SetupError: where there is no such runtime, or its declaration is wrong.
    """
    if name not in [*names(), BOOTSTRAP]:
        raise SetupError(f"There is no runtime {name!r}: name one of {', '.join(names())}.")
    try:
        declared = read_declaration(name, RUNTIMES)
    except InvalidDeclaration as error:
        raise SetupError(str(error)) from error
    for need in declared.native:
        if need.tool not in registry.tools():
            raise SetupError(
                f"deploy/runtimes/{name}.toml: there is no native tool {need.tool!r}: name one of "
                f"{', '.join(registry.tools())}."
            )
    return declared


def installed_by(when: Install) -> list[str]:
    """Return the runtimes whose environments are made then: `setup` is `make setup`, `tests` is `make test`."""
    return [name for name in names() if declaration(name).install == when]


def native_parts(chosen: Iterable[str], *, tests: bool = False) -> dict[str, list[str]]:
    """Return, for each native tool, the parts that the chosen runtimes need of it.

    tests: also those that the tests of any runtime need.
    """
    needed = [(need.tool, need.parts) for name in chosen for need in declaration(name).native]
    if tests:
        needed += [(need.tool, need.test_parts) for name in names() for need in declaration(name).native]
    tools = {tool for tool, parts in needed if parts}
    return {each: sorted({part for tool, parts in needed if tool == each for part in parts}) for each in sorted(tools)}


def lock_of(name: str) -> Path:
    """Return the lock of the runtime `name`.

    Raises:
        SetupError: where there is no such runtime, or it has not been locked.
    """
    lock = RUNTIMES / f"{declaration(name).name}.txt"
    if not lock.is_file():
        raise SetupError(f"The runtime {name!r} has no lock: run `python3 -m deploy.setup lock {name}`.")
    return lock


def installed_apart(name: str) -> list[str]:
    """Return the pinned requirements that the environment holds and its lock does not resolve.

    These are the declaration's own, and the sources of the native tools whose bindings are installed.
    """
    declared = declaration(name)
    tools = [need.tool for need in declared.native if need.bindings]
    sources = [line for tool in tools for line in requirement_lines(registry.source_file(tool).read_text())]
    return [*declared.installed_apart, *sources]


def wanted_stamp(name: str) -> str:
    """Return the sha256, in hexadecimal, of all that decides what the runtime's environment holds."""
    declared = declaration(name)
    told = [lock_of(name).read_bytes().decode(), platform.python_version(), platform.machine()]
    if declared.torch and declared.torch_version:
        told += [declared.torch_version, torch_source(declared.torch_version, declared.torch).name]
    told += [registry.bindings(need.tool).build_digest() for need in declared.native if need.bindings]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()
