"""Foreign tools run as children with a scrubbed environment: no credential of ours reaches them."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.errors import ToolFailed, ToolKilled

TOLD_LINES = 12
"""Lines of a failed tool's output that go into the error: enough for a Python traceback's end."""

PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
)
"""The only variables a foreign tool inherits."""


def run_tool(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a tool to its end, its output in `log` and, line by line, given to `on_line`.

    Its environment is PASSED_ON, HOME=`cwd`, and `env`. Raises ToolFailed, with its last lines, when it exits non-zero
    or cannot be started, and ToolKilled when a signal ended it.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"HOME": str(cwd), "PYTHONUNBUFFERED": "1", **(env or {})}
    name = Path(argv[0]).name if len(argv) < 2 or not str(argv[1]).endswith(".py") else Path(argv[1]).name
    last: deque[str] = deque(maxlen=TOLD_LINES)
    with log.open("ab") as kept, _start(argv, cwd, environment) as process:
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                kept.write(raw)
                line = raw.decode("utf-8", "replace").rstrip()
                if line:
                    last.append(line)
                    if on_line:
                        on_line(line)
        except BaseException:
            # Whoever ends the task does not wait for hours until the tool has finished.
            process.kill()
            raise
    said = "\n".join(last) or "it said nothing"
    if process.returncode < 0:
        raise ToolKilled(f"{name} was ended by {signal.Signals(-process.returncode).name}; its last lines:\n{said}")
    if process.returncode:
        raise ToolFailed(f"{name} failed with exit status {process.returncode}; its last lines:\n{said}")


def _start(argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ToolFailed(f"{argv[0]} could not be started: {error}; see that it is installed.") from error
