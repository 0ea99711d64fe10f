"""Runs the commands of the set-up, and reports each step with its duration."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.setup.errors import SetupError

SHOWN_LINES = 15
"""How many last lines of a failed command's output are shown: usually the whole message of a resolver or compiler."""


def report(line: str) -> None:
    """Print one line of progress, and flush it so that it also appears at once in a pipe."""
    print(line, flush=True)


@contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """Report the start of a step and, if it succeeds, its duration in seconds."""
    report(f"{name}: {what} ...")
    started = time.monotonic()
    yield
    report(f"{name}: {what}: {time.monotonic() - started:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    otherwise: str,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a command and wait for it. Its output is appended to `log` and passed to `on_line`, line by line.

    Raises:
        SetupError: if the command fails, with `otherwise` as the message. The last lines of output are printed first.
    """
    last: list[str] = []
    with log.open("a", encoding="utf-8") as kept:
        kept.write(f"$ {' '.join(str(part) for part in command)}\n")
        kept.flush()
        with subprocess.Popen(
            [str(part) for part in command],
            env=dict(os.environ if env is None else env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                last = [*last, line.rstrip()][-SHOWN_LINES:]
                if on_line:
                    on_line(line)
    if process.returncode:
        print("\n".join(f"    {line}" for line in last), file=sys.stderr)
        raise SetupError(f"{otherwise} (The whole output is in {log}.)")
