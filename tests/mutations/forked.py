"""Runs the product's scripts in children of this process, which has imported torch: a new process takes 6 s for that.

`shortcuts` puts them in the place of the product's own functions that start processes. A script runs as it is, with its
arguments, its input and its limits; what it says and how it ends is read as the product reads it.
"""

import json
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tasks.checkpoint.reasons import reason
from tasks.errors import ToolFailed
from tasks.host.tools import last_words
from tasks.source.checks.sandbox import Failed

SHOWN = 20


@contextmanager
def shortcuts() -> Iterator[None]:
    """Use children for the script that builds a model, and for the converter."""
    with (
        patch("tasks.source.checks.architecture.ask", ask),
        patch("tasks.formats.gguf.f16.run_tool", run_tool),
    ):
        yield


def ask(script: Path, question: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Do what tasks.source.checks.sandbox.ask does; raises Failed where the script fails."""
    status, said, errors = run(script, (), json.dumps(question).encode())
    if not status and said.strip():
        answer: dict[str, Any] = json.loads(said.splitlines()[-1])
        return answer
    lines = errors.decode(errors="replace").strip().splitlines()
    raise Failed(reason(lines[-1] if lines else f"status {status}"), said)


def run_tool(argv: Sequence[Any], *, cwd: Path, log: Path, env: Mapping[str, str], **words: Any) -> None:
    """Do what tasks.host.tools.run_tool does with a Python script; raises ToolFailed where the script fails."""

    def prepare() -> None:
        os.chdir(cwd)
        sys.path[:0] = env["PYTHONPATH"].split(os.pathsep)

    status, said, errors = run(Path(argv[1]), tuple(map(str, argv[2:])), b"", prepare)
    log.write_bytes(said + errors)
    if status:
        lines = log.read_text(errors="replace").splitlines()[-SHOWN:]
        raise ToolFailed(f"{last_words(lines)}: {Path(argv[1]).name} failed with status {status}.")


def run(
    script: Path, arguments: Sequence[str], given: bytes, prepare: Callable[[], None] = lambda: None
) -> tuple[int, bytes, bytes]:
    """Run a script in a child; return its exit status, negative for a signal, and what it said on both outputs."""
    with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        read.write(given)
        read.seek(0)
        child = os.fork()
        if not child:
            _become(script, arguments, [read.fileno(), said.fileno(), errors.fileno()], prepare)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        errors.seek(0)
        return os.waitstatus_to_exitcode(status), said.read(), errors.read()


def _become(script: Path, arguments: Sequence[str], files: Sequence[int], prepare: Callable[[], None]) -> None:
    status = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.argv = [str(script), *arguments]
        prepare()
        runpy.run_path(str(script), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
