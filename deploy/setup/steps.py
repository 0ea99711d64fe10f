"""Steps that tell what they do and how long it took, and the commands that they run."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.setup.errors import SetupError

TOLD_LINES = 15
"""Lines of a failed command's output that are shown: a resolver's or a compiler's whole complaint, as a rule."""


def tell(line: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    print(line, flush=True)


@contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """Tell that a step begins and, when it ended well, how many seconds it took."""
    tell(f"{name}: {what} ...")
    started = time.monotonic()
    yield
    tell(f"{name}: {what}: {time.monotonic() - started:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    otherwise: str,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a command to its end; its output goes to the end of `log` and, line by line, to `on_line`.

    Raises:
        SetupError: with the sentence `otherwise`, after the output's last lines, where the command fails.
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
                last = [*last, line.rstrip()][-TOLD_LINES:]
                if on_line:
                    on_line(line)
    if process.returncode:
        print("\n".join(f"    {line}" for line in last), file=sys.stderr)
        raise SetupError(f"{otherwise} (Everything that was said is in {log}.)")
