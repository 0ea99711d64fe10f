"""Runtimes: the locked environments in which tasks run, and the native tools built for them."""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.errors import NotFound
from tasks.model import Model
from tasks.settings import REPOSITORY, home


@dataclass(frozen=True)
class Runtime:
    """One locked Python environment: its interpreter and the sha256 of its lock."""

    name: str
    python: Path
    lock_digest: str


def runtime(name: str) -> Runtime:
    """Return the runtime of that name; raises NotFound with the command that makes it."""
    python = environments() / name / "bin" / "python"
    if not python.exists():
        raise NotFound(f"The runtime {name!r} is not installed; run: python3 -m deploy.setup env {name}")
    return Runtime(name=name, python=python, lock_digest=lock_digest(name))


def environments() -> Path:
    """Return the folder of the environments: $HALLMARK_ENVS, or `envs` in the state folder."""
    return Path(os.environ.get("HALLMARK_ENVS") or home() / "envs")


@cache
def lock_digest(name: str) -> str:
    """Return the sha256 of a runtime's lock file; raises NotFound for a name without one."""
    lock = REPOSITORY / "deploy" / "runtimes" / f"{name}.txt"
    if not lock.is_file():
        raise NotFound(f"There is no runtime {name!r}: {lock.relative_to(REPOSITORY)} does not exist.")
    return hashlib.sha256(lock.read_bytes()).hexdigest()


class LlamaCppBuild(Model):
    """What `build.json` says of a llama.cpp build."""

    version: str
    commit: str
    flags: tuple[str, ...]
    digest: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class LlamaCpp:
    """A built llama.cpp: bin/ holds its programs, lib/ its shared libraries, tree/ the converter's sources."""

    version: str
    commit: str
    digest: str
    bin: Path
    lib: Path
    tree: Path


def llama_cpp() -> LlamaCpp:
    """Return the llama.cpp that set-up built; raises NotFound with the command that builds it."""
    root = Path(os.environ.get("HALLMARK_LLAMA_CPP") or environments().parent / "tools" / "llama.cpp")
    if not (root / "build.json").is_file():
        raise NotFound("llama.cpp is not built; run: python3 -m deploy.setup llama.cpp")
    build = LlamaCppBuild.model_validate_json((root / "build.json").read_bytes())
    return LlamaCpp(build.version, build.commit, build.digest, root / "bin", root / "lib", root / "tree")


def native_digest(name: str) -> str:
    """Return the digest of the native tool build of that name, as it goes into a key."""
    if name != "llama.cpp":
        raise NotFound(f"There is no native tool {name!r} (known: llama.cpp).")
    return llama_cpp().digest
