"""Run one task by hand or from an operator: `python -m tasks NAME spec.json [--result result.json]`.

The result is written to `--result` or to standard output; progress and errors go to standard error. Exit status:

    0    the task succeeded
    65   it failed, and something must be changed
    75   it failed, and a retry may succeed
    73   the result could not be written
    1    a bug; its traceback is printed
    2    the arguments or the spec are wrong, and no task began

On SIGTERM, the process removes its temporary files and ends by that signal.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TextIO, cast

from pydantic import ValidationError

from tasks.contract import EXIT_NO_RESULT, EXIT_TERMINAL, EXIT_TRANSIENT, Failure, Result, Spec
from tasks.definitions import TASK_NAMES, find_definition
from tasks.errors import DiskFull, HallmarkError, OutOfMemory
from tasks.execution import run
from tasks.host.at_work import keep_note, remove_note
from tasks.host.shortage import disk_full, disk_full_by, is_disk_full
from tasks.model import explain
from tasks.secrets import Mask, MaskedStream, forget_secrets
from tasks.store.open import open_store


def main() -> int:
    """Parse the arguments, run the task and write its result. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one task of a release.")
    parser.add_argument("name", metavar="NAME", choices=TASK_NAMES, help=f"one of {', '.join(TASK_NAMES)}")
    parser.add_argument(
        "spec", type=Path, help="a JSON file with task, parameters, inputs (name to key), threads, hardware and force"
    )
    parser.add_argument("--result", type=Path, help="the file for the result (default: standard output)")
    arguments = parser.parse_args()
    mask = Mask()
    sys.stdout = cast("TextIO", MaskedStream(sys.stdout, mask))
    sys.stderr = cast("TextIO", MaskedStream(sys.stderr, mask))
    # Some libraries set up logging when they are imported. One of onnxruntime's modules asks for everything, which put
    # 1,700 lines of another library into the log of one export. Only the first call of this function counts.
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        spec = Spec.from_json(arguments.spec.read_bytes())
    except (OSError, ValidationError) as error:
        why = explain(error, Spec) if isinstance(error, ValidationError) else error
        parser.error(f"{arguments.spec} is not a valid spec: {why}")
    if spec.task != arguments.name:
        parser.error(f"{arguments.spec} is a spec for the task {spec.task!r}, not {arguments.name!r}")
    status = 0
    if arguments.result:
        keep_note(arguments.result.parent)
    signal.signal(signal.SIGTERM, _clean_up)
    try:
        store = open_store()
        forget_secrets(find_definition(spec.task, spec.parameters).access)
        result = run(spec, store)
    except Terminated:
        # All temporary files are removed by now. End by the same signal, so that the parent process sees it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        raise
    except HallmarkError as error:
        result, status = _failed(error, mask)
    except Exception as error:
        if not is_disk_full(error):
            # The note would be that of the last call of an engine, which is over. The traceback says where this is.
            if arguments.result:
                remove_note(arguments.result.parent)
            raise
        result, status = _failed(disk_full_by(error, "a file of the task"), mask)
    if arguments.result:
        remove_note(arguments.result.parent)
    try:
        _write(result.to_json(), arguments.result)
    except OSError as error:
        if not is_disk_full(error):
            raise
        _say(disk_full(arguments.result.parent, "the task's result", error=error))
        return EXIT_NO_RESULT
    return status


def _failed(error: HallmarkError, mask: Mask) -> tuple[Result, int]:
    _say(error)
    failure = Failure.of(error)
    # Only the message can contain a secret. Facts are not masked: a password may equal a word that they contain.
    masked = failure.model_copy(update={"message": mask(failure.message)})
    return Result(failure=masked), EXIT_TRANSIENT if failure.kind == "transient" else EXIT_TERMINAL


def _say(error: HallmarkError) -> None:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if isinstance(error, (DiskFull, OutOfMemory)) and error.__cause__:
        # The diagnosis may be wrong, so the original error is printed, too.
        print(f"Before: {type(error.__cause__).__name__}: {error.__cause__}", file=sys.stderr)


class Terminated(BaseException):
    """Raised on SIGTERM, so that scratch folders and incomplete uploads are removed before the process ends."""


def _clean_up(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _write(result: str, path: Path | None) -> None:
    if path is None:
        print(result, end="")
        return
    growing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        growing.write_text(result, encoding="utf-8")
        growing.replace(path)
    finally:
        growing.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
