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
from tasks.host.shortage import MEND_MEMORY
from tasks.host.tools import dies_with_parent

WALL_SECONDS = 180
"""Ends a process that sleeps. The scripts set their own limits on processor time and memory."""


class Exceeded(Exception):
    """Raised when the process exceeded its limits of time or memory."""


class Failed(Exception):
    """Raised when the process failed; the message is its last line."""


def ask(script: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object that the script prints for `question`. The script gets a clean environment.

    Raises Exceeded where the process hit a limit, OutOfMemory where the kernel killed it because the host had no memory
    left, and Failed where it failed otherwise.
    """
    killed_before = kernel_kills()
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(script)],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
            preexec_fn=dies_with_parent(),
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise Exceeded from error
    if done.returncode == -signal.SIGKILL and kernel_kills() > killed_before:
        raise OutOfMemory(f"{script.stem} was killed by the kernel because memory ran out{MEND_MEMORY}")
    if done.returncode < 0:
        raise Exceeded
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(reason(said[-1] if said else "no error message"))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
