"""Runs a script in a process with limits, for input from foreign files that may not end or may take all memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.checkpoint.reasons import reason
from tasks.errors import OutOfMemory
from tasks.host.control_group import kernel_kills
from tasks.host.shortage import FIX_MEMORY, SHORT_OF_MEMORY
from tasks.host.tools import CRASHES, dies_with_parent, signal_name
from tasks.settings import REPOSITORY

WALL_SECONDS = 180
"""Ends a process that sleeps. The scripts set their own limits on processor time and memory."""


class Unanswered(Exception):
    """Base of the ways in which a process ends without an answer. written: what it printed before."""

    def __init__(self, message: str = "", written: bytes = b"") -> None:
        super().__init__(message)
        self.written = written


class Exceeded(Unanswered):
    """Raised when the process exceeded its limits of time or memory."""


class Failed(Unanswered):
    """Raised when the process failed or crashed; the message is its last line, with the signal of a crash."""


def ask(
    script: Path, question: dict[str, Any], *, with_product: bool = False, wall_seconds: int | None = None
) -> dict[str, Any]:
    """Return the JSON object that the script prints for `question`, in its last line.

    The script gets a clean environment. It can import the product's modules only if `with_product`.

    Raises Exceeded where the process hit a limit, OutOfMemory where the kernel killed it because the host had no memory
    left, and Failed where it failed otherwise.
    """
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if with_product:
        environment |= {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "HF_DEACTIVATE_ASYNC_LOAD": "1"}
    killed_before = kernel_kills()
    try:
        done = subprocess.run(
            # With -B: a limit on the size of files would cut the compiled modules that Python keeps.
            [sys.executable, "-B", "-P" if with_product else "-I", str(script)],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=wall_seconds or WALL_SECONDS,
            check=False,
            preexec_fn=dies_with_parent(),
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise Exceeded(written=error.stdout or b"") from error
    if not done.returncode and done.stdout.strip():
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    said = done.stderr.decode(errors="replace").strip()
    last = said.splitlines()[-1] if said else ""
    if done.returncode >= 0:
        raise Failed(reason(last or "no error message"), done.stdout)
    ended_by = -done.returncode
    if ended_by == signal.SIGKILL and kernel_kills() > killed_before:
        raise OutOfMemory(f"{script.stem} was killed by the kernel because memory ran out{FIX_MEMORY}")
    if ended_by in CRASHES - {signal.SIGXCPU, signal.SIGXFSZ} and not SHORT_OF_MEMORY.search(said):
        raise Failed(reason(f"{last or 'without a message'}; it crashed with {signal_name(ended_by)}"), done.stdout)
    raise Exceeded(written=done.stdout)
