"""Under what a repetition was measured: the code, the locked versions, the machine. Only like is compared with like."""

import hashlib
import json
import os
from pathlib import Path

from tasks.keys import processor
from tasks.model import Model
from tasks.settings import host_facts

MEASURED = ("tasks", "operators", "dags", "deploy", "bench")
"""Folders whose code decides what is measured, and how."""

TELLING = ("table.py", "goals.py")
"""Modules of the benchmark that only tell what was measured."""


class Conditions(Model):
    """What a figure is of: `code` is a digest of all code that is measured or measures, locks included."""

    commit: str
    code: str
    processor: str
    cores: int
    memory_bytes: int
    llama_cpp: str

    def comparable(self, other: "Conditions") -> bool:
        """Whether figures of both may stand in one median."""
        return self.model_copy(update={"commit": ""}) == other.model_copy(update={"commit": ""})


def conditions(tree: Path, commit: str, llama_cpp: Path) -> Conditions:
    """Return those of the code in `tree`, which is that of `commit`, on this machine."""
    host = host_facts()
    return Conditions(
        commit=commit,
        code=_code_digest(tree),
        processor=processor(),
        cores=host.cores,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        llama_cpp=json.loads((llama_cpp / "build.json").read_bytes())["digest"],
    )


def _code_digest(tree: Path) -> str:
    digest = hashlib.sha256()
    for folder in MEASURED:
        for path in sorted((tree / folder).rglob("*")):
            if path.suffix in (".py", ".txt", ".yaml") and path.name not in TELLING:
                digest.update(f"{path.relative_to(tree)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
