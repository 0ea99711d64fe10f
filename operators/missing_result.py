"""Why a job ended without a result: somebody killed it, the kernel did for want of memory, it crashed, or a bug."""

import signal
from pathlib import Path

from operators.memory_watch import MemoryWatch
from tasks.contract import EXIT_NO_RESULT, Failure
from tasks.host.facts import free_disk_bytes
from tasks.host.shortage import FULL_BYTES, MEND_MEMORY, disk_full
from tasks.host.tools import CRASHES, signal_name

TOLD_LINES = 15


def why_no_result(status: int | None, folder: Path, memory: MemoryWatch) -> Failure:
    """Return the failure of a job that left no result in its folder.

    `status` is its exit status, negative for a signal, None where the job was another process's child. A signal from
    outside may be bad luck; a crash, or a bug whose traceback is in the log, comes again.
    """
    if status == EXIT_NO_RESULT or free_disk_bytes(folder) < FULL_BYTES:
        return Failure(kind="terminal", error="DiskFull", message=str(disk_full(folder, "the task's result or log")))
    if status in (None, -signal.SIGKILL) and memory.kernel_has_killed():
        return memory.failure(f"The task was killed by the kernel because memory ran out{MEND_MEMORY}")
    said = _last_lines(folder / "log.txt")
    if status is None:
        message = f"The task ended without a result, and how is not known; its last lines:\n{said}"
        return Failure(kind="transient", error="ToolKilled", message=message)
    if status >= 0:
        return Failure(kind="terminal", error="Bug", message=f"The task ended with exit status {status}:\n{said}")
    ended_by = signal_name(-status)
    if -status in CRASHES:
        return Failure(kind="terminal", error="Bug", message=f"The task crashed with {ended_by}:\n{said}")
    message = f"The task was ended by {ended_by}, which somebody sent:\n{said}"
    return Failure(kind="transient", error="ToolKilled", message=message)


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TOLD_LINES:]) or "it said nothing"
