"""Checks that the recipe allows Python files of the repository (`auto_map`), by repository and commit."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Corrupt, Refused
from tasks.source.parameters import ScanParameters

CLASS = re.compile(r"([\w.-]+/[\w.-]+--)?\w+(\.\w+)+", re.ASCII)
"""How transformers names a class in a module of this repository, or of another one."""


def check_code(snapshot: Snapshot, parameters: ScanParameters) -> tuple[str, bool]:
    """Raise Refused for code that the recipe does not allow or of another repository, Corrupt for missing code."""
    references = list(_references(snapshot))
    if not references:
        return "no file refers to Python code of the repository", False
    allowed = any(
        (entry.repository, entry.commit) == (parameters.repository, parameters.commit) for entry in parameters.code
    )
    for file, reference in references:
        if not CLASS.fullmatch(reference):
            raise Corrupt(
                f"{file}: auto_map names {reference[:200]!r}, which is not a class; ask the publisher to fix it."
            )
        elsewhere, _, local = reference.rpartition("--")
        if elsewhere:
            raise Refused(
                f"{file}: auto_map names code of another repository ({reference}), which no commit pins; "
                "ask the publisher to remove auto_map, or to put the code into this repository."
            )
        if not allowed:
            raise Refused(
                f"{file}: auto_map names code of the repository ({reference}), which Hallmark never executes; to "
                f"release the model without it, add the line '- {{repository: {parameters.repository}, commit: "
                f"{parameters.commit}}}' below 'code:' in the recipe."
            )
        module = f"{local.split('.')[0]}.py"
        if not (snapshot.folder / module).is_file():
            raise Corrupt(
                f"{file}: auto_map names {reference}, but the file {module} is missing; ask the publisher to fix it."
            )
    return f"allowed by the recipe: {', '.join(sorted({reference for _, reference in references}))}", True


def _references(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield (file, class) for every class that an `auto_map` names, at any depth of the root's JSON files."""
    for path in snapshot.paths():
        # tokenizer.json and an index are large and name no classes.
        if PurePosixPath(path).suffix != ".json" or "/" in path or path.endswith((".index.json", "tokenizer.json")):
            continue
        for reference in _in(snapshot.json(path)):
            yield path, reference


def _in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner) if key == "auto_map" else _in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _in(inner)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
