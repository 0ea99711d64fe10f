"""llama.cpp's sources, from the source distribution of its Python bindings.

That archive holds the whole tree at one commit, on the package index, under a pinned hash: bindings, library, tools and
converter are of one version. Only what is compiled or run is unpacked: test vocabularies and documents are two thirds
of it.
"""

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
"""The archive's file that says which commit its tree is of."""

COMPILED = ("CMakeLists.txt", "cmake", "common", "ggml", "include", "licenses", "scripts", "src", "tools", "vendor")
CONVERTER = ("conversion", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "gguf-py")
KEPT = frozenset((*COMPILED, *CONVERTER, "AUTHORS", "LICENSE"))
"""The entries of llama.cpp's own folder that are compiled or run."""


SOURCES_ONLY = ("--no-binary=:all:", "--no-build-isolation")


def version() -> str:
    """Return the version of llama-cpp-python, whose source distribution llama.cpp comes from."""
    return pinned(REQUIREMENT.read_text(), "llama-cpp-python")


def fetch(folder: Path, pip: Sequence[str | Path]) -> Path:
    """Download the source distribution into `folder` by the command `pip` and return it, its hash checked by pip.

    Raises:
        SetupError: where it cannot be had.
    """
    requirements = ("--require-hashes", "-r", REQUIREMENT)
    run(
        # pip asks a source distribution for its metadata, for which it needs the build environment's scikit-build-core.
        [*pip, "download", "--quiet", "--no-deps", *SOURCES_ONLY, *requirements, "--dest", folder],
        log=log_file("llama.cpp"),
        otherwise="The sources of llama.cpp could not be fetched: check that this machine reaches a package index "
        "(`pip config list`) and run `python3 -m deploy.setup llama.cpp` again.",
    )
    found = list(folder.glob("llama_cpp_python-*.tar.gz"))
    if len(found) != 1:
        raise SetupError(f"pip left {len(found)} archives of llama-cpp-python in {folder}: empty it and try again.")
    return found[0]


def unpack(archive: Path, tree: Path) -> str:
    """Unpack llama.cpp's own folder of the archive into `tree` and return the 40-hex commit that it is of.

    Nothing is written outside `tree`: links and names that lead out of it are refused by tarfile's `data` filter.

    Raises:
        SetupError: where the archive names no commit or holds no llama.cpp.
    """
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        tree.mkdir(parents=True)
        opened.extractall(tree, members=kept(members), filter="data")
        head = next((member for member in members if inner(member) == PurePosixPath(HEAD)), None)
        said = opened.extractfile(head) if head else None
        commit = said.read().decode().strip() if said else ""
    if len(commit) != 40 or not (tree / "CMakeLists.txt").is_file():
        raise SetupError(f"{archive.name} does not hold llama.cpp: pin another version in {REQUIREMENT}.")
    return commit


def inner(member: tarfile.TarInfo) -> PurePosixPath:
    """Return a member's path without the archive's top folder."""
    return PurePosixPath(*PurePosixPath(member.name).parts[1:])


def kept(members: list[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """Give the members that are kept, named by their path inside llama.cpp's folder."""
    for member in members:
        path = inner(member)
        if path.is_relative_to(VENDORED):
            path = path.relative_to(VENDORED)
            if path.parts and path.parts[0] in KEPT:
                yield member.replace(name=str(path), deep=False)
