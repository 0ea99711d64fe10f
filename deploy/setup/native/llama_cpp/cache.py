"""The user's cache of llama.cpp builds, and the link by which a checkout finds its own.

A build's folder is named by version and digest (see flags.py): `tree/` has the sources, of which the converter is
run as it is, `build/` what CMake keeps so that a later part costs only itself, `bindings/` the Python bindings' wheel,
`lib/` and `bin/` what is used, and `build.json` says what is whole. `lib/` and `bin/` together can be copied anywhere.
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
    """`build.json`: what a cached build is and which of its parts are whole."""

    version: str
    commit: str
    flags: list[str]
    digest: str
    parts: list[str]


def folder_of(version: str, digest: str) -> Path:
    """Return the cache's folder of a build."""
    return user_cache() / TOOL / f"{version}-{digest[:16]}"


def read_build(folder: Path) -> Build | None:
    """Return what `build.json` says, or None where there is none."""
    try:
        return Build(**json.loads((folder / "build.json").read_text()))
    except FileNotFoundError:
        return None


def write_build(folder: Path, build: Build) -> None:
    """Replace `build.json` in one step."""
    new = folder / "build.json.new"
    new.write_text(json.dumps(asdict(build), indent=1) + "\n")
    new.replace(folder / "build.json")


def current_folder() -> Path:
    """Return the folder of the build that this checkout wants on this machine, made or not."""
    wanted = version()
    return folder_of(wanted, build_digest(wanted))


def point_at(folder: Path) -> None:
    """Let `tools/llama.cpp` lead to `folder`, in one step."""
    link = tools() / TOOL
    if link.is_symlink() and link.readlink() == folder:
        return
    tools().mkdir(parents=True, exist_ok=True)
    new = tools() / f".{TOOL}.{os.getpid()}"
    new.symlink_to(folder)
    new.replace(link)
