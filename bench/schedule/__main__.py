"""How long a release would take on more cores: `python -m bench.schedule [--measure DAG]`.

With --measure, the newest run of the DAG in the laptop stack is read, and some of its tasks run again with one and two
threads; the host should be idle. The figures are kept in release.json. Then the table in this folder's
README.md is written.
"""

import argparse
from pathlib import Path

from bench.schedule.table import replace_table
from bench.schedule.work import read_release
from tasks.settings import REPOSITORY

KEPT = Path(__file__).parent / "release.json"


def main() -> None:
    """Measure if it is asked for, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.schedule", description=__doc__)
    parser.add_argument("--measure", metavar="DAG")
    options = parser.parse_args()
    if options.measure:
        from bench.schedule.measure import measured_release

        KEPT.write_text(measured_release(options.measure).to_json(), encoding="utf-8")
    replace_table(REPOSITORY / "bench" / "schedule" / "README.md", read_release(KEPT))


if __name__ == "__main__":
    main()
