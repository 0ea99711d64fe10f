"""Runs a script in a process with limits, for input from foreign files that may not end or may take all memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.checkpoint.reasons import reason
from tasks.errors import OutOfMemory, ToolKilled
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
    """Raised when the process exceeded its own limits of processor time or memory."""


class Failed(Unanswered):
    """Raised when the process failed or crashed; the message is its last line, with the signal of a crash."""


def ask(
    script: Path, question: dict[str, Any], *, with_product: bool = False, wall_seconds: int | None = None
) -> dict[str, Any]:
    """Return the JSON object that the script prints for `question`, in its last line.

    The script gets a clean environment. It can import the product's modules only if `with_product`.

    Raises Exceeded where the process hit a limit of its own, and Failed where it failed otherwise. Raises OutOfMemory
    where the kernel killed it because the host had no memory left, and ToolKilled where somebody else ended it, or
    where it did not end in time, as on a busy host.
    """
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if with_product:
        environment |= {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1", "HF_DEACTIVATE_ASYNC_LOAD": "1"}
    killed_before, seconds = kernel_kills(), wall_seconds or WALL_SECONDS
    try:
        done = subprocess.run(
            # With -B: a limit on the size of files would cut the compiled modules that Python keeps.
            [sys.executable, "-B", "-P" if with_product else "-I", str(script)],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            preexec_fn=dies_with_parent(),
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolKilled(
            f"{script.stem} did not end within {seconds} s, although its limits are on processor time; clear the task "
            "when the host is less busy, and if it comes to the same, do not use this repository."
        ) from error
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
    if ended_by not in CRASHES:
        raise ToolKilled(f"{script.stem} was ended by {signal_name(ended_by)} from outside the task; clear the task.")
    if ended_by in (signal.SIGXCPU, signal.SIGXFSZ) or SHORT_OF_MEMORY.search(said):
        raise Exceeded(written=done.stdout)
    raise Failed(reason(f"{last or 'without a message'}; it crashed with {signal_name(ended_by)}"), done.stdout)
