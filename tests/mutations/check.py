"""What must hold of a sample of mutants: none gets through unseen but those that are known to."""

from pathlib import Path

from tests.mutations.artifacts import sample
from tests.mutations.limits import known_limits, outdated, unexpected
from tests.mutations.places import PLACES, SOURCE, TARGETS, run_program
from tests.mutations.run import judged, mutants_of
from tests.mutations.table import table

OF_EACH_KIND = {SOURCE: 1, "safetensors-bf16": 1, "gguf-f16": 3, "onnx-fp32": 2, "onnx-int8": 1}
"""Mutants of each kind of field and each change, by place: a source takes ten times as long as a GGUF file."""

SOURCES = 10
"""The most mutants of a source. Every second kind is left out then; `make mutations SAMPLE=1` judges all kinds."""


def check_sample(folder: Path, source: str, place: str) -> None:
    """Judge some mutants of each kind of field and each change; fail where the outcome is not what the limits say."""
    run_program(PLACES[SOURCE], "tests.mutations.make", folder, source, *(TARGETS if place == SOURCE else [place]))
    root, work = folder / source, folder / "work"
    work.mkdir()
    chosen = sample(mutants_of(root, place), OF_EACH_KIND[place])
    if place == SOURCE:
        chosen = chosen[:: -(-len(chosen) // SOURCES)]
    rows = list(judged(root, place, chosen, work))
    print("\n".join([*table(rows), *map(str, rows)]))
    limits = known_limits()
    assert [str(row) for row in unexpected(rows, limits)] == []
    assert outdated(rows, limits) == []
