"""Finds the runtimes (the locked environments in which tasks run) and the native tools that were built for them.

Tasks only use what the set-up has installed (`python3 -m deploy.setup`); they never install anything.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.errors import NotFound
from tasks.model import Model
from tasks.runtime_declaration import FOLDER, read_all, read_declaration
from tasks.settings import REPOSITORY, home


@dataclass(frozen=True)
class Runtime:
    """One locked Python environment: its interpreter, and the sha256 (hex) of its lock file."""

    name: str
    python: Path
    lock_digest: str


def runtime(name: str) -> Runtime:
    """Return the runtime `name`. Raises NotFound, with the command that installs it, if it is not installed."""
    python = environments() / name / "bin" / "python"
    if not python.exists():
        raise NotFound(f"The runtime {name!r} is not installed; run: python3 -m deploy.setup env {name}")
    return Runtime(name=name, python=python, lock_digest=lock_digest(name))


def environments() -> Path:
    """Return the folder of the environments: $HALLMARK_ENVS, or `envs` in the state folder."""
    return Path(os.environ.get("HALLMARK_ENVS") or home() / "envs").absolute()


def tools() -> Path:
    """Return the folder of the built native tools: $HALLMARK_TOOLS, or `tools` beside the environments."""
    return Path(os.environ.get("HALLMARK_TOOLS") or environments().parent / "tools").absolute()


def runtime_variables(name: str) -> dict[str, str]:
    """Return the environment variables that a task's process gets in the runtime. Raises InvalidDeclaration."""
    return read_declaration(name).variables(tools())


@cache
def lock_digest(name: str) -> str:
    """Return the sha256 (hex) of a runtime's lock file. Raises NotFound if there is none."""
    lock = FOLDER / f"{name}.txt"
    if not lock.is_file():
        raise NotFound(
            f"There is no runtime {name!r}: {lock.relative_to(REPOSITORY)} does not exist; "
            f"run: python3 -m deploy.setup lock {name}"
        )
    return hashlib.sha256(lock.read_bytes()).hexdigest()


class NativeBuild(Model):
    """The content of `build.json` in a native tool's folder.

    version, commit: those of the tool's sources.
    flags: the flags given to its build system.
    digest: the sha256 (hex) of everything that decides what the build computes.
    parts: the names of the parts that are built.
    """

    version: str
    commit: str
    flags: tuple[str, ...]
    digest: str
    parts: tuple[str, ...]


def native_build(name: str) -> tuple[Path, NativeBuild]:
    """Return the folder of a native tool and its build.json.

    Raises NotFound if there is no such tool, or if it is not built; the message contains the command that builds it.
    """
    known = sorted({need.tool for declared in read_all().values() for need in declared.native})
    if name not in known:
        raise NotFound(f"There is no native tool {name!r} (known: {', '.join(known)}).")
    file = tools() / name / "build.json"
    again = f"run: python3 -m deploy.setup {name}"
    if not file.is_file():
        raise NotFound(f"The native tool {name} is not built; {again}")
    return file.parent, NativeBuild.read_file(file, str(file), again)


def native_digest(name: str) -> str:
    """Return the digest of a native tool's build, which is a part of keys. Raises NotFound."""
    return native_build(name)[1].digest
