"""Under what a repetition was measured: the code, the locked versions, the machine. Only like is compared with like."""

import hashlib
import json
import os
from pathlib import Path

from tasks.host.facts import host_facts
from tasks.host.processor import processor
from tasks.model import Model

MEASURED = ("tasks", "operators", "dags", "deploy", "bench")
"""Folders whose code decides what is measured, and how."""

TELLING = (
    "bench/README.md",
    "bench/how-it-is-counted.md",
    "bench/schedule/README.md",
    "bench/table.py",
    "bench/goals.py",
)
"""Files of the benchmark that only tell what was measured."""


class Conditions(Model):
    """What a figure is of: `code` is a digest of all code that is measured or measures, locks included."""

    commit: str
    code: str
    processor: str
    cores: int
    memory_bytes: int
    llama_cpp: str

    @property
    def machine(self) -> tuple[str, int, int]:
        """The processor, how many of them, and bytes of memory."""
        return self.processor, self.cores, self.memory_bytes

    def comparable(self, other: "Conditions") -> bool:
        """Whether figures of both may stand in one median."""
        return self.model_copy(update={"commit": ""}) == other.model_copy(update={"commit": ""})


def conditions(tree: Path, commit: str, llama_cpp: Path) -> Conditions:
    """Return those of the code in `tree`, which is that of `commit`, on this machine."""
    host = host_facts()
    return Conditions(
        commit=commit,
        code=code_digest(tree),
        processor=processor(),
        cores=host.cores,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        llama_cpp=json.loads((llama_cpp / "build.json").read_bytes())["digest"],
    )


def code_digest(tree: Path) -> str:
    """Return the digest of all that is measured in a tree, and that measures."""
    digest = hashlib.sha256()
    for folder in MEASURED:
        for path in sorted((tree / folder).rglob("*")):
            name = path.relative_to(tree).as_posix()
            if path.is_file() and name not in TELLING and "__pycache__" not in path.parts:
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
