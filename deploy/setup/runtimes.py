"""The runtimes as `deploy/runtimes` declares them, and the stamp that says which state an environment is in."""

import hashlib
import platform
import re
import tomllib
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp.flags import build_digest
from deploy.setup.places import RUNTIMES
from deploy.setup.torch_source import torch_source

BOOTSTRAP = "uv"
"""The environment that makes the others; it is not made by uv."""

HAVE_BINDINGS = ("llama-cpp", "consumer")
"""The runtimes that hold the bindings of llama.cpp and lead to its library."""


def names() -> list[str]:
    """Return the names of the environments that can be made, in alphabetical order."""
    return sorted(path.stem for path in RUNTIMES.glob("*.in") if path.stem != BOOTSTRAP)


def lock_of(name: str) -> Path:
    """Return the lock of the runtime `name`.

    Raises:
        SetupError: where there is no such runtime, or it has not been locked.
    """
    lock = RUNTIMES / f"{name}.txt"
    if name not in [*names(), BOOTSTRAP]:
        raise SetupError(f"There is no runtime {name!r}: name one of {', '.join(names())}.")
    if not lock.is_file():
        raise SetupError(f"The runtime {name!r} has no lock: run `python3 -m deploy.setup lock {name}`.")
    return lock


def apart(name: str) -> Path | None:
    """Return the file of requirements that are installed in a step of their own, where the runtime has one."""
    path = RUNTIMES / f"{name}.apart.txt"
    return path if path.is_file() else None


def pinned(requirements: str, package: str) -> str:
    """Return the version to which the text of a requirements file pins a package.

    Raises:
        SetupError: where it does not.
    """
    found = re.search(rf"^{re.escape(package)}==([^\s;]+)", requirements, re.MULTILINE)
    if not found:
        raise SetupError(f"No version of {package} is pinned: add a line `{package}==VERSION` to its requirements.")
    return found[1]


def torch_version() -> str:
    """Return the version of torch that the torch runtime holds."""
    return pinned((RUNTIMES / "torch.apart.txt").read_text(), "torch")


def llama_cpp_version() -> str:
    """Return the version of llama-cpp-python, whose source distribution llama.cpp comes from."""
    return pinned((RUNTIMES / "llama-cpp.apart.txt").read_text(), "llama-cpp-python")


def imports(name: str) -> list[str]:
    """Return the modules that must import in the runtime's environment."""
    table: dict[str, list[str]] = tomllib.loads((RUNTIMES / "imports.toml").read_text())
    if not table.get(name):
        raise SetupError(f"Nothing is known to import in {name!r}: add a line for it to deploy/runtimes/imports.toml.")
    return table[name]


def wanted_stamp(name: str) -> str:
    """Return the sha256, in hexadecimal, of all that decides what the runtime's environment holds."""
    told = [lock_of(name).read_bytes().decode(), platform.python_version(), platform.machine()]
    if name == "torch":
        told += [torch_version(), torch_source(torch_version()).name]
    if name in HAVE_BINDINGS:
        told.append(build_digest(llama_cpp_version()))
    return hashlib.sha256("\0".join(told).encode()).hexdigest()
