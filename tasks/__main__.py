"""Run one task by hand or from an operator: `python -m tasks NAME spec.json [--result result.json]`.

The result goes to `--result` or to standard output, progress and errors to standard error. Exit status: 0 done, 65 a
failure that only a change can mend, 75 one that a retry may mend, 1 a bug (with its traceback).
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from tasks.contract import Failure, Result, Spec
from tasks.definitions import TASK_NAMES
from tasks.errors import HallmarkError, TransientError
from tasks.execution import run
from tasks.store.open import open_store

EXIT_TERMINAL, EXIT_TRANSIENT = 65, 75
"""EX_DATAERR and EX_TEMPFAIL of sysexits(3)."""


def main() -> int:
    """Parse the arguments, run the task, write its result."""
    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one task of a release.")
    parser.add_argument("name", metavar="NAME", choices=TASK_NAMES, help=f"one of {', '.join(TASK_NAMES)}")
    parser.add_argument("spec", type=Path, help="a JSON file: task, parameters, inputs (names to keys), threads, force")
    parser.add_argument("--result", type=Path, help="where the result goes; standard output if not given")
    arguments = parser.parse_args()
    try:
        spec = Spec.from_json(arguments.spec.read_bytes())
    except (OSError, ValidationError) as error:
        parser.error(f"{arguments.spec} is no spec: {error}")
    if spec.task != arguments.name:
        parser.error(f"{arguments.spec} is a spec for the task {spec.task!r}, not {arguments.name!r}")
    status = 0
    signal.signal(signal.SIGTERM, _clean_up)
    try:
        result = run(spec, open_store())
    except Terminated:
        # Nothing of it stays; whoever watches is told what it was, by the signal itself.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        raise
    except HallmarkError as error:
        transient = isinstance(error, TransientError)
        kind = type(error).__name__
        print(f"{kind}: {error}", file=sys.stderr)
        result = Result(failure=Failure(kind="transient" if transient else "terminal", error=kind, message=str(error)))
        status = EXIT_TRANSIENT if transient else EXIT_TERMINAL
    _write(result, arguments.result)
    return status


class Terminated(BaseException):
    """Raised by SIGTERM, so that scratch folders and half-sent files are removed on the way out."""


def _clean_up(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _write(result: Result, path: Path | None) -> None:
    if path is None:
        print(result.to_json(), end="")
        return
    growing = path.with_name(f".{path.name}.{os.getpid()}")
    growing.write_text(result.to_json(), encoding="utf-8")
    growing.replace(path)


if __name__ == "__main__":
    sys.exit(main())
