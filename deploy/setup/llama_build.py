"""llama.cpp's library and tools: built part by part when first needed, cached for all checkouts of this user.

The cache's folder is named by version and digest (see llama_flags): `tree/` has the sources, of which the converter is run
as it is, `build/` what CMake keeps so that a later part costs only itself, `lib/` and `bin/` what is used, and `build.json`
says what is whole. `lib/` and `bin/` together can be copied anywhere.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.setup.environments import ensure
from deploy.setup.errors import SetupError
from deploy.setup.exclusive import exclusive
from deploy.setup.llama_flags import FLAGS, build_digest
from deploy.setup.llama_source import fetch, unpack
from deploy.setup.places import environments, log_file, tools, user_cache
from deploy.setup.runtimes import llama_cpp_version
from deploy.setup.steps import run, step, tell

TOOL = "llama.cpp"

PARTS = {"lib": "llama", "quantize": "llama-quantize", "imatrix": "llama-imatrix", "server": "llama-server"}
"""What can be asked for, and the target that CMake builds for it."""

PERCENT_TOLD = 10
"""How often progress is told, in per cent: about every 20 s of the whole build on two cores."""


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
    os.replace(new, folder / "build.json")


def ensure_parts(parts: Sequence[str]) -> Path:
    """Build the parts that are not built yet, point `tools/llama.cpp` at the build, and return its folder.

    Raises:
        SetupError: where a part is unknown, or the machine cannot build it.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise SetupError(f"llama.cpp has no part {unknown[0]!r} here: name some of {', '.join(PARTS)}.")
    version = llama_cpp_version()
    digest = build_digest(version)
    folder = folder_of(version, digest)
    build = read_build(folder)
    if build is None or not set(parts) <= set(build.parts):
        with exclusive(folder.with_name(f".{folder.name}.lock"), TOOL):
            build = read_build(folder) or prepare(folder, version, digest)
            missing = [part for part in parts if part not in build.parts]
            if missing:
                compile_parts(folder, missing)
                write_build(folder, replace(build, parts=[part for part in PARTS if part in {*build.parts, *parts}]))
    else:
        tell(f"{TOOL} unchanged: {', '.join(parts)}")
    point_at(folder)
    return folder


def point_at(folder: Path) -> None:
    """Let `tools/llama.cpp` lead to `folder`, in one step."""
    link = tools() / TOOL
    if link.is_symlink() and link.readlink() == folder:
        return
    tools().mkdir(parents=True, exist_ok=True)
    new = tools() / f".{TOOL}.{os.getpid()}"
    new.symlink_to(folder)
    os.replace(new, link)


def prepare(folder: Path, version: str, digest: str) -> Build:
    """Fetch the sources and make the bindings' wheel; return the build without any part yet."""
    if not shutil.which("cmake"):
        raise SetupError("There is no CMake on this machine: install it (Debian: apt-get install cmake) and try again.")
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        with step(TOOL, f"fetching the sources of {version}"):
            archive = fetch(Path(scratch))
            commit = unpack(archive, new / "tree")
        with step(TOOL, "making the bindings' wheel"):
            make_wheel(archive, new / "bindings")
        build = Build(version, commit, [f"-D{name}={value}" for name, value in FLAGS.items()], digest, [])
        write_build(new, build)
        new.rename(folder)
    return build


def make_wheel(archive: Path, folder: Path) -> None:
    """Make a wheel of the bindings alone, without compiling the library a second time."""
    run(
        [environments() / "build" / "bin" / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        + ["--wheel-dir", folder, archive],
        log=log_file(TOOL),
        env=os.environ | {"CMAKE_ARGS": "-DLLAMA_BUILD=OFF"},
        otherwise="The bindings of llama.cpp could not be made: see the message above.",
    )


def compile_parts(folder: Path, parts: Sequence[str]) -> None:
    """Compile the parts and place what came out in `lib/` and `bin/`."""
    ensure("build")
    log = log_file(TOOL)
    ninja = environments() / "build" / "bin" / "ninja"
    build = read_build(folder)
    assert build is not None
    with step(TOOL, f"compiling {', '.join(parts)} with {os.cpu_count()} processes"):
        run(
            ["cmake", "-S", folder / "tree", "-B", folder / "build", "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
            + [*build.flags, f"-DLLAMA_BUILD_COMMIT={build.commit[:9]}"],
            log=log,
            otherwise="CMake could not set llama.cpp's build up: see the message above.",
        )
        run(
            [ninja, "-C", folder / "build", f"-j{os.cpu_count()}", *(PARTS[part] for part in parts)],
            log=log,
            on_line=Progress(),
            otherwise="llama.cpp did not compile: see the message above, or name another compiler in CC and CXX.",
        )
        place(folder / "build" / "bin", folder)


def place(made: Path, folder: Path) -> None:
    """Copy the libraries and programs that were made, each in one step, so that a running one is never overwritten."""
    for source in sorted(made.iterdir()):
        into = folder / ("lib" if ".so" in source.suffixes else "bin")
        into.mkdir(exist_ok=True)
        new = into / f".{source.name}.new"
        shutil.copy2(source, new, follow_symlinks=False)
        os.replace(new, into / source.name)


class Progress:
    """Tells how far ninja is, from the `[done/all]` that begins its lines."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, line: str) -> None:
        """Look at one line of ninja's and tell the per cent where a further step of PERCENT_TOLD is reached."""
        if counted := re.match(r"\[(\d+)/(\d+)\]", line):
            done, in_all = int(counted[1]), int(counted[2])
            reached = 100 * done // in_all // PERCENT_TOLD * PERCENT_TOLD
            if reached > self.told:
                self.told = reached
                tell(f"{TOOL}: {reached} % ({done} of {in_all} steps)")


def install_bindings(environment: Path, install: Sequence[str | Path], env: Mapping[str, str]) -> None:
    """Install the bindings' wheel and link the library to where they look for it (`lib` in their own folder)."""
    folder = ensure_parts(["lib"])
    with step("llama-cpp", "installing the bindings"):
        run(
            [*install, next((folder / "bindings").glob("*.whl"))],
            log=log_file("llama-cpp"),
            env=env,
            otherwise="The bindings of llama.cpp could not be installed: run `python3 -m deploy.setup env llama-cpp` again.",
        )
        package = next(environment.glob("lib/python*/site-packages/llama_cpp"))
        (package / "lib").symlink_to(folder / "lib")
