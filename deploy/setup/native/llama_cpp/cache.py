"""The user's cache of llama.cpp builds, and the link from a checkout to its build.

The folder of a build is named by its version and digest (see flags.py) and contains:

    tree/       the sources; the converter is run from there
    build/      CMake's files, so that a further part does not compile everything again
    bindings/   the wheel of the Python bindings
    lib/, bin/  the libraries and programs; the two folders can be copied together to any place
    build.json  the parts that are completely built (see Build)
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.setup.native.llama_cpp.flags import build_digest
from deploy.setup.native.llama_cpp.source import version
from deploy.setup.places import tools, user_cache

TOOL = "llama.cpp"


@dataclass(frozen=True)
class Build:
    """The content of `build.json`.

    version, commit: those of the sources.
    flags: the flags given to CMake.
    digest: the digest of the build (see flags.py).
    parts: the parts that are completely built.
    """

    version: str
    commit: str
    flags: list[str]
    digest: str
    parts: list[str]


def folder_of(version: str, digest: str) -> Path:
    """Return the folder of a build in the cache."""
    return user_cache() / TOOL / f"{version}-{digest[:16]}"


def read_build(folder: Path) -> Build | None:
    """Return the content of `build.json`, or None if there is no such file."""
    try:
        return Build(**json.loads((folder / "build.json").read_text()))
    except FileNotFoundError:
        return None


def write_build(folder: Path, build: Build) -> None:
    """Write `build.json` atomically."""
    new = folder / "build.json.new"
    new.write_text(json.dumps(asdict(build), indent=1) + "\n")
    new.replace(folder / "build.json")


def current_folder() -> Path:
    """Return the folder of the build for this checkout and this machine. It may not exist yet."""
    wanted = version()
    return folder_of(wanted, build_digest(wanted))


def point_at(folder: Path) -> None:
    """Make `tools/llama.cpp` a link to `folder`, atomically."""
    link = tools() / TOOL
    if link.is_symlink() and link.readlink() == folder:
        return
    tools().mkdir(parents=True, exist_ok=True)
    new = tools() / f".{TOOL}.{os.getpid()}"
    new.symlink_to(folder)
    new.replace(link)
