"""The llama.cpp that the set-up built: its programs, its libraries, and its converter's sources."""

from dataclasses import dataclass
from pathlib import Path

from tasks.runtimes import native_build


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
    """Return the llama.cpp that the set-up built; raises NotFound with the command that builds it."""
    root, build = native_build("llama.cpp")
    return LlamaCpp(build.version, build.commit, build.digest, root / "bin", root / "lib", root / "tree")
