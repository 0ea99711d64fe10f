"""Judges mutants in one runtime: run.py ROOT PLACE RESULTS, where ROOT is the folder of a made source.

PLACE is a target, whose artifact is mutated, or `source`. A row is appended to RESULTS as soon as its mutant is judged.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from tests.mutations.artifacts import artifact_mutants, judge_artifacts, sample
from tests.mutations.mutant import Mutant
from tests.mutations.places import SOURCE
from tests.mutations.row import Row


def main() -> None:
    """Judge all mutants, or those that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("place")
    parser.add_argument("results", type=Path)
    parser.add_argument("--only", default="*", help="a pattern of mutants, such as 'config.json: rope*'")
    parser.add_argument("--sample", type=int, help="so many mutants of each kind of field")
    chosen = parser.parse_args()
    mutants = [one for one in mutants_of(chosen.root, chosen.place) if fnmatchcase(str(one), chosen.only)]
    if chosen.sample:
        mutants = sample(mutants, chosen.sample)
    with tempfile.TemporaryDirectory(dir=chosen.root) as work, chosen.results.open("a") as kept:
        for place, row in enumerate(judged(chosen.root, chosen.place, mutants, Path(work)), 1):
            print(f"{place}/{len(mutants)} {row}", flush=True)
            kept.write(f"{row.to_json()}\n")
            kept.flush()


def mutants_of(root: Path, place: str) -> list[Mutant]:
    """Return all mutants of a place."""
    if place != SOURCE:
        return artifact_mutants(place, root / place / "output")
    from tests.mutations.source_way import source_mutants

    return source_mutants(root / "snapshot")


def judged(root: Path, place: str, mutants: Iterable[Mutant], work: Path) -> Iterator[Row]:
    """Yield what becomes of mutants of a place."""
    if place != SOURCE:
        return judge_artifacts(root, place, mutants, work)
    from tests.mutations.source_way import judge_sources

    return judge_sources(root, mutants, work)


if __name__ == "__main__":
    main()
