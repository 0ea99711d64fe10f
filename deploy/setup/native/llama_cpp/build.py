"""Builds the library and the tools of llama.cpp.

A part is built when it is first needed, because the whole takes minutes. Builds are cached for all checkouts of this
user.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.setup.errors import SetupError
from deploy.setup.exclusive import exclusive
from deploy.setup.native.llama_cpp.cache import TOOL, Build, current_folder, point_at, read_build, write_build
from deploy.setup.native.llama_cpp.flags import FLAGS, build_digest, check_processor, variants
from deploy.setup.native.llama_cpp.source import fetch, keep_variants, unpack, version
from deploy.setup.places import log_file
from deploy.setup.steps import report, run, step

PARTS = {"lib": "llama", "quantize": "llama-quantize", "imatrix": "llama-imatrix", "server": "llama-server"}
"""The parts that can be built, with the CMake target of each."""

REPORTED_PERCENT = 10
"""How often progress is reported, in per cent: about every 20 s of the whole build on two cores."""


def ensure_parts(parts: Sequence[str], build_environment: Callable[[], Path]) -> bool:
    """Build the parts that are not built yet, and link `tools/llama.cpp` to the build. Return whether any was missing.

    build_environment: installs the environment of the build tools and returns its folder. It is called only if there is
        something to build.

    Raises:
        SetupError: if a part is unknown, or the machine cannot build it.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise SetupError(f"llama.cpp has no part {unknown[0]!r} here: name some of {', '.join(PARTS)}.")
    folder = current_folder()
    build = read_build(folder)
    made = build is None or not set(parts) <= set(build.parts)
    if made:
        with exclusive(folder.with_name(f".{folder.name}.lock"), TOOL):
            environment = build_environment()
            build = read_build(folder) or prepare(folder, environment)
            missing = [part for part in parts if part not in build.parts]
            if missing:
                compile_parts(folder, build, missing, environment)
                write_build(folder, replace(build, parts=[part for part in PARTS if part in {*build.parts, *parts}]))
    point_at(folder)
    return made


def prepare(folder: Path, environment: Path) -> Build:
    """Download the sources and build the wheel of the bindings. Return the build, which has no parts yet."""
    if not shutil.which("cmake"):
        raise SetupError("There is no CMake on this machine: install it (Debian: apt-get install cmake) and try again.")
    check_processor()
    wanted = version()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The caller holds the lock, so any scratch folder was left by a process that was killed.
    for left in (folder, *(path for path in folder.parent.glob(f".{folder.name}.*") if path.is_dir())):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        with step(TOOL, f"fetching the sources of {wanted}"):
            archive = fetch(Path(scratch), pip_of(environment))
            commit = unpack(archive, new / "tree")
            keep_variants(new / "tree", variants())
        with step(TOOL, "building the wheel of the bindings"):
            make_wheel(archive, new / "bindings", environment)
        options = [f"-D{name}={value}" for name, value in FLAGS.items()]
        build = Build(wanted, commit, options, build_digest(wanted), [])
        write_build(new, build)
        new.rename(folder)
    return build


def pip_of(environment: Path) -> list[str | Path]:
    """Return the command that runs pip in the environment of the build tools."""
    return [environment / "bin" / "python", "-m", "pip"]


def make_wheel(archive: Path, folder: Path, environment: Path) -> None:
    """Build a wheel of the bindings alone. The library, which `compile_parts` builds, is not compiled again."""
    run(
        [*pip_of(environment), "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, archive],
        log=log_file(TOOL),
        env=os.environ | {"CMAKE_ARGS": "-DLLAMA_BUILD=OFF"},
        otherwise="The bindings of llama.cpp could not be built: see the message above.",
    )


def compile_parts(folder: Path, build: Build, parts: Sequence[str], environment: Path) -> None:
    """Compile the parts, and copy the results to `lib/` and `bin/`."""
    log = log_file(TOOL)
    ninja = environment / "bin" / "ninja"
    with step(TOOL, f"compiling {', '.join(parts)} with {os.cpu_count()} processes"):
        settings = [*build.flags, f"-DCMAKE_MAKE_PROGRAM={ninja}", f"-DLLAMA_BUILD_COMMIT={build.commit[:9]}"]
        # Whoever uses the bindings finds the code for the processor. It is no flag: its digest would differ by host.
        settings.append(f"-DGGML_BACKEND_DIR={folder / 'lib'}")
        run(
            ["cmake", "-S", folder / "tree", "-B", folder / "build", "-G", "Ninja", *settings],
            log=log,
            otherwise="CMake could not configure the build of llama.cpp: see the message above.",
        )
        run(
            [ninja, "-C", folder / "build", f"-j{os.cpu_count()}", *(PARTS[part] for part in parts)],
            log=log,
            on_line=Progress(),
            otherwise="llama.cpp did not compile: see the message above, or set CC and CXX to another compiler.",
        )
        place(folder / "build" / "bin", folder)


def place(built: Path, folder: Path) -> None:
    """Copy the libraries and programs to `lib/` and `bin/`. Each replaces the old file, so running programs go on.

    A program looks for the code for its processor (`libggml-cpu-<kind>.so`) in its own folder, so `bin/` has links.
    """
    for source in sorted(built.iterdir()):
        into = folder / ("lib" if ".so" in source.suffixes else "bin")
        into.mkdir(exist_ok=True)
        new = into / f".{source.name}.new"
        shutil.copy2(source, new, follow_symlinks=False)
        new.replace(into / source.name)
    for library in (folder / "lib").glob("libggml-cpu-*.so"):
        link = folder / "bin" / library.name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", "lib", library.name))


class Progress:
    """Reports the progress of ninja, whose lines begin with `[done/all]`."""

    def __init__(self) -> None:
        """Start at 0 per cent."""
        self.reported = 0

    def __call__(self, line: str) -> None:
        """Read a line of ninja. Report the progress if a further step of REPORTED_PERCENT is reached."""
        if counted := re.match(r"\[(\d+)/(\d+)\]", line):
            done, in_all = int(counted[1]), int(counted[2])
            reached = 100 * done // in_all // REPORTED_PERCENT * REPORTED_PERCENT
            if reached > self.reported:
                self.reported = reached
                report(f"{TOOL}: {reached} % ({done} of {in_all} steps)")
