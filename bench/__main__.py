"""`make bench`: measure what is missing, in a copy of one commit's code, and write the table.

    python -m bench [ROW ...] [--commit COMMIT] [--repetitions N] [--again]

--commit: whose code is measured (HEAD); give an earlier one to go on with it after others have committed.
--repetitions: instead of a row's own number. --again: measure anew what others' work on the machine has disturbed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from bench.places import Places, python
from bench.table import write_table
from bench.tree import make_tree, resolve
from tasks.settings import REPOSITORY, home

RESULTS = REPOSITORY / "bench" / "results"


def main() -> int:
    """Prepare the tree, measure in it, write the table; return the status of the measuring."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only-table", action="store_true", help="measure nothing, write the table anew")
    options = parser.parse_args()
    status = 0 if options.only_table else _measure(options)
    write_table(RESULTS, REPOSITORY / "bench" / "README.md")
    return status


def _measure(options: argparse.Namespace) -> int:
    places, commit = Places(home() / "bench"), resolve(options.commit)
    make_tree(places.tree, commit)
    if _locks(places.tree) != _locks(REPOSITORY):
        sys.exit(f"{commit[:8]} locks other versions than are set up here: check it out, and `make bench` there.")
    command = [python("control"), "-m", "bench.run", *options.rows, "--root", places.root, "--results", RESULTS]
    command += ["--commit", commit, *(["--again"] if options.again else [])]
    command += ["--repetitions", str(options.repetitions)] if options.repetitions else []
    environment = {**os.environ, **places.environment(places.root / "airflow-reads")}
    environment |= {"AIRFLOW_HOME": str(places.root / "airflow-reads"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return subprocess.run(list(map(str, command)), cwd=Path(places.tree), env=environment, check=False).returncode


def _locks(tree: Path) -> dict[str, bytes]:
    """What decides which versions the measured code runs on."""
    return {path.name: path.read_bytes() for path in (tree / "deploy" / "runtimes").glob("*.txt")}


if __name__ == "__main__":
    sys.exit(main())
