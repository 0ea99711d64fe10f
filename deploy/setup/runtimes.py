"""The runtimes that `deploy/runtimes` declares, and the stamps of their environments.

A stamp is a digest of everything that decides what an environment contains. It is stored in the environment, so the
set-up can compare it and see whether the environment is out of date.
"""

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
"""The environment with uv, which installs the others. It is installed by pip."""


def names() -> list[str]:
    """Return the names of all runtimes except BOOTSTRAP, in alphabetical order."""
    return [name for name in declared_names(RUNTIMES) if name != BOOTSTRAP]


def declaration(name: str) -> RuntimeDeclaration:
    """Return the declaration of the runtime `name`.

    Raises:
        SetupError: if there is no such runtime, or its declaration is wrong.
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
    """Return the runtimes with this `install`: "setup" for those of `make setup`, "tests" for those of `make test`."""
    return [name for name in names() if declaration(name).install == when]


def native_parts(chosen: Iterable[str]) -> dict[str, list[str]]:
    """Return the parts of each native tool that the chosen runtimes need."""
    needed = [(need.tool, need.parts) for name in chosen for need in declaration(name).native]
    tools = {tool for tool, parts in needed if parts}
    return {each: sorted({part for tool, parts in needed if tool == each for part in parts}) for each in sorted(tools)}


def lock_of(name: str) -> Path:
    """Return the lock of the runtime `name`.

    Raises:
        SetupError: if there is no such runtime, or it is not locked.
    """
    lock = RUNTIMES / f"{declaration(name).name}.txt"
    if not lock.is_file():
        raise SetupError(f"The runtime {name!r} has no lock: run `python3 -m deploy.setup lock {name}`.")
    return lock


def installed_apart(name: str) -> list[str]:
    """Return the pinned requirements that are installed in the environment but are not in its lock.

    They are those of `installed_apart` in the declaration, and the sources of native tools with Python bindings.
    """
    declared = declaration(name)
    tools = [need.tool for need in declared.native if need.bindings]
    sources = [line for tool in tools for line in requirement_lines(registry.source_file(tool).read_text())]
    return [*declared.installed_apart, *sources]


def wanted_stamp(name: str) -> str:
    """Return the sha256, in hexadecimal, of everything that decides what the runtime's environment contains."""
    declared = declaration(name)
    parts = [lock_of(name).read_bytes().decode(), platform.python_version(), platform.machine()]
    if declared.torch and declared.torch_version:
        parts += [declared.torch_version, torch_source(declared.torch_version, declared.torch).name]
    parts += [registry.bindings(need.tool).build_digest() for need in declared.native if need.bindings]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
