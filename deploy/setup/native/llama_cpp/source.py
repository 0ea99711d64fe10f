"""Downloads and unpacks the sources of llama.cpp, which are part of the source distribution of its Python bindings.

That archive is on the package index, has a pinned hash, and contains the whole source tree at one commit. So bindings,
library, tools and converter always have the same version. Only files that are compiled or run are unpacked; test
vocabularies and documents are two thirds of the archive.
"""

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from deploy.setup.errors import SetupError
from deploy.setup.places import log_file
from deploy.setup.requirements import pinned
from deploy.setup.steps import run

REQUIREMENT = Path(__file__).with_name("source.txt")
"""The pinned requirement, with its hash, of the source distribution."""

VENDORED = PurePosixPath("vendor/llama.cpp")
HEAD = ".git/modules/vendor/llama.cpp/HEAD"
"""The file in the archive that contains the commit of the tree."""

COMPILED = ("CMakeLists.txt", "cmake", "common", "ggml", "include", "licenses", "scripts", "src", "tools", "vendor")
CONVERTER = ("conversion", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "gguf-py")
KEPT = frozenset((*COMPILED, *CONVERTER, "AUTHORS", "LICENSE"))
"""The entries of llama.cpp's folder that are compiled or run."""


VARIANT = re.compile(r"^ *ggml_add_cpu_backend_variant\(([\w.]+).*\)$", re.MULTILINE)
"""A line of llama.cpp's CMake file that adds the code for one kind of processor."""

SOURCES_ONLY = ("--no-binary=:all:", "--no-build-isolation")


def version() -> str:
    """Return the pinned version of llama-cpp-python, whose source distribution contains llama.cpp."""
    return pinned(REQUIREMENT.read_text(), "llama-cpp-python")


def fetch(folder: Path, pip: Sequence[str | Path]) -> Path:
    """Download the source distribution into `folder` with the command `pip`, which checks its hash. Return its path.

    Raises:
        SetupError: if it cannot be downloaded.
    """
    requirements = ("--require-hashes", "-r", REQUIREMENT)
    run(
        # pip builds the archive's metadata, for which it needs scikit-build-core of the build environment.
        [*pip, "download", "--quiet", "--no-deps", *SOURCES_ONLY, *requirements, "--dest", folder],
        log=log_file("llama.cpp"),
        otherwise="The sources of llama.cpp could not be downloaded: check that this machine reaches a package index "
        "(`pip config list`) and run `python3 -m deploy.setup llama.cpp` again.",
    )
    found = list(folder.glob("llama_cpp_python-*.tar.gz"))
    if len(found) != 1:
        raise SetupError(f"pip left {len(found)} archives of llama-cpp-python in {folder}: empty it and try again.")
    return found[0]


def unpack(archive: Path, tree: Path) -> str:
    """Unpack llama.cpp's folder of the archive into `tree`. Return its commit (40 hex digits).

    Nothing is written outside `tree`: tarfile's `data` filter refuses links and names that lead out of it.

    Raises:
        SetupError: if the archive does not contain a commit and llama.cpp.
    """
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        tree.mkdir(parents=True)
        opened.extractall(tree, members=kept(members), filter="data")
        head = next((member for member in members if inner(member) == PurePosixPath(HEAD)), None)
        file = opened.extractfile(head) if head else None
        commit = file.read().decode().strip() if file else ""
    if len(commit) != 40 or not (tree / "CMakeLists.txt").is_file():
        raise SetupError(f"{archive.name} does not contain llama.cpp: pin another version in {REQUIREMENT}.")
    return commit


def keep_variants(tree: Path, wanted: Sequence[str]) -> None:
    """Remove from llama.cpp's CMake file the kinds of processors that are not wanted; CMake has no option for it.

    Raises:
        SetupError: if the file does not name a wanted kind.
    """
    file = tree / "ggml" / "src" / "CMakeLists.txt"
    text = file.read_text()
    if unknown := set(wanted) - set(VARIANT.findall(text)):
        raise SetupError(
            f"llama.cpp has no code for {min(unknown)!r}: change VARIANTS in deploy/setup/native/llama_cpp/flags.py."
        )
    file.write_text(VARIANT.sub(lambda found: found[0] if found[1] in wanted else "# not built", text))


def inner(member: tarfile.TarInfo) -> PurePosixPath:
    """Return a member's path without the archive's top folder."""
    return PurePosixPath(*PurePosixPath(member.name).parts[1:])


def kept(members: list[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """Yield the members to unpack, renamed to their paths inside llama.cpp's folder."""
    for member in members:
        path = inner(member)
        if path.is_relative_to(VENDORED):
            path = path.relative_to(VENDORED)
            if path.parts and path.parts[0] in KEPT:
                yield member.replace(name=str(path), deep=False)
