"""Changes every field of sources and of their artifacts, and reports what gets through unseen: `make mutations`.

Options: --sources, --places and --only choose mutants by patterns, and --sample N takes so many of each kind of field
and change. The exit status is 1 if a mutant survives that known_limits.toml does not name, or if one that it names does
not survive any more.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tests.mutations.limits import known_limits, outdated, unexpected
from tests.mutations.places import NOT_RELEASED, PLACES, QUANTIZED, SOURCE, SOURCE_NAMES, TARGETS, run_program
from tests.mutations.row import Row
from tests.mutations.table import gates, table


def main() -> int:
    """Make the sources, judge the mutants, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", default="*")
    parser.add_argument("--places", default="*")
    parser.add_argument("--only", default="*")
    parser.add_argument("--sample", type=int)
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        rows = judge_all(
            Path(folder),
            [name for name in SOURCE_NAMES if fnmatchcase(name, chosen.sources)],
            [place for place in PLACES if fnmatchcase(place, chosen.places)],
            ["--only", chosen.only, *(["--sample", str(chosen.sample)] if chosen.sample else [])],
        )
    return report(rows, time.monotonic() - began)


def judge_all(folder: Path, sources: Sequence[str], places: Sequence[str], options: Sequence[str]) -> list[Row]:
    """Return the rows of all places of the sources. Raises CalledProcessError where a program fails."""
    results = folder / "results.jsonl"
    for source in sources:
        judged = [place for place in places if (source, place) not in NOT_RELEASED]
        wanted = [place for place in QUANTIZED if place in judged]
        run_program(PLACES[SOURCE], "tests.mutations.make", folder, source, *TARGETS, *wanted)
        for place in judged:
            print(f"== {source}, {place}", flush=True)
            run_program(PLACES[place], "tests.mutations.run", folder / source, place, results, *options)
    return [Row(**json.loads(line)) for line in results.read_text(encoding="utf-8").splitlines()]


def report(rows: Sequence[Row], seconds: float) -> int:
    """Print what was found; return 1 where it is not what known_limits.toml says."""
    limits = known_limits()
    print("\n".join(["", *table(rows), "", "Gates that block artifacts:", *gates(rows)]))
    surviving, over = unexpected(rows, limits), outdated(rows, limits)
    for row in surviving:
        print(f"NOT KNOWN: {row}")
    for limit in over:
        print(f"NO LIMIT ANY MORE: {limit.source} {limit.place} {limit.mutant}")
    print(f"{len(rows)} mutants in {seconds:.0f} s: {len(surviving)} unknown survivors, {len(over)} limits outdated")
    return 1 if surviving or over else 0


if __name__ == "__main__":
    sys.exit(main())
