"""Opens and measures artifacts in one process of an engine's runtime: evaluator.py TARGET [FOLDER].

FOLDER has a sound artifact of the target, which is opened first. The program reads lines of JSON, [name, folder of an
artifact, folder of the reference], and answers each with a line: the name, and what `judging.measured` returns.
"""

import json
import os
import sys
from pathlib import Path

from tests.mutations.judging import measured, prepare


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    # Engines print.
    os.dup2(2, 1)
    target = sys.argv[1]
    if len(sys.argv) > 2:
        prepare(target, Path(sys.argv[2]))
    for line in sys.stdin:
        name, folder, reference = json.loads(line)
        found = measured(target, Path(folder), Path(reference), listen=False)
        print(json.dumps([name, found]), file=answers, flush=True)


if __name__ == "__main__":
    main()
