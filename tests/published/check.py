"""Releases models of models.toml, and says where something else came out than the table says."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.mutations.places import PLACES, SOURCE, TARGETS, run_program
from tests.published.fetch import fetch
from tests.published.models import Published

Found = Mapping[str, tuple[str, str]]


def release(model: Published, packages: Path, folder: Path) -> Found:
    """Return what became of a model, by targets. Raises CalledProcessError where the program fails."""
    run_program(PLACES[SOURCE], "tests.published.release", model.name, fetch(model, packages), folder)
    found: dict[str, tuple[str, str]] = json.loads((folder / "found.json").read_bytes())
    return {target: (outcome, said) for target, (outcome, said) in found.items()}


def unexpected(model: Published, found: Found) -> Iterator[str]:
    """Yield a line for each target that became something else."""
    for target in ("source", *TARGETS):
        wanted, why = model.becomes.get(target, ("passed", ""))
        outcome, said = found.get(target, ("passed" if target == "source" else "missing", ""))
        if target != "source" and model.becomes.get("source", ("", ""))[0] == "refused":
            continue
        if outcome != wanted or why not in said:
            yield f"{model.name}, {target}: expected {wanted} {why}, found {outcome} {said}"
