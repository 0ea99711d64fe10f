"""Judges mutants in one runtime: run.py ROOT PLACE RESULTS [OF_EACH_KIND], where ROOT is the folder of a made source.

PLACE is a target, whose artifact is mutated. A row is appended to RESULTS as soon as its mutant is judged.
"""

import sys
import tempfile
from pathlib import Path

from tests.mutations.artifacts import artifact_mutants, judge_artifacts, sample


def main() -> None:
    """Judge all mutants, or so many of each kind."""
    root, place, results = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    mutants = artifact_mutants(place, root / place / "output")
    if len(sys.argv) > 4:
        mutants = sample(mutants, int(sys.argv[4]))
    with tempfile.TemporaryDirectory(dir=root) as work, results.open("a") as kept:
        for row in judge_artifacts(root, place, mutants, Path(work)):
            print(row, flush=True)
            kept.write(f"{row.to_json()}\n")


if __name__ == "__main__":
    main()
