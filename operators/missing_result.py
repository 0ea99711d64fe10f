"""Why a job left no result: somebody killed it, the kernel killed it for memory, it crashed, or it has a bug."""

import re
import signal
from pathlib import Path

from operators.memory_watch import MemoryWatch
from tasks.contract import EXIT_NO_RESULT, Failure, Spec
from tasks.errors import ToolKilled
from tasks.host.at_work import read_note
from tasks.host.facts import free_disk_bytes
from tasks.host.shortage import FIX_MEMORY, FULL_BYTES, SHORT_OF_MEMORY, disk_full
from tasks.host.tools import CRASHES, HOST_FIXES, last_words, signal_name

SHOWN_LINES = 15

IMPORTS = re.compile("ImportError|ModuleNotFoundError")
"""Begins the last words of a process whose environment is not whole."""

REBUILD = (
    "build the environments of this host again (python3 -m deploy.setup env, with their names); if that does not help, "
    "see"
)

LOG_END_BYTES = 16_384
"""How much of a log's end is read for its last lines: a log may have hundreds of megabytes."""


def why_no_result(status: int | None, folder: Path, memory: MemoryWatch) -> Failure:
    """Return the failure of a job that left no result in its folder.

    status: its exit status, negative for a signal; None where the job was another process's child.

    A signal from outside may not come again, so the failure is transient. A crash and a bug would come again.
    """
    if status == EXIT_NO_RESULT or free_disk_bytes(folder) < FULL_BYTES:
        return Failure.of(disk_full(folder, "the task's result or log"))
    if status in (None, -signal.SIGKILL) and memory.kernel_has_killed():
        return memory.failure(f"The task was killed by the kernel because memory ran out{FIX_MEMORY}")
    lines = _last_lines(folder / "log.txt")
    shown = "\n".join(lines) or "none, the log is empty"
    words, note = last_words(lines).rstrip("."), read_note(folder)
    task, remedy = _task(folder)
    while_at = f" while it worked on {note}" if note else ""
    if status is None:
        return Failure.of(
            ToolKilled(f"The {task} ended without a result{while_at}, for an unknown reason; its last lines:\n{shown}")
        )
    if (status > 0 or -status in CRASHES) and SHORT_OF_MEMORY.search(words):
        return memory.failure(f"{words}: the {task} got no memory{while_at}{FIX_MEMORY}")
    if status >= 0:
        fix = REBUILD if IMPORTS.match(words) else "report it to the authors of Hallmark with"
        return _bug(
            f"{words}: the {task} ended with exit status {status}{while_at}; {fix} the log {folder / 'log.txt'}. "
            f"Its last lines:\n{shown}"
        )
    ended_by = signal_name(-status)
    if -status in CRASHES:
        fix = HOST_FIXES.get(-status, f"{remedy}. You can also report it to the authors of the library that crashed")
        return _bug(f"{words}: the {task} crashed with {ended_by}{while_at}; {fix}. Its last lines:\n{shown}")
    return Failure.of(
        ToolKilled(f"The {task} was ended by {ended_by} from outside{while_at}; its last lines:\n{shown}")
    )


def _task(folder: Path) -> tuple[str, str]:
    """Return the job's task in words, with the target it belongs to, and what to do if its input makes it crash."""
    try:
        spec = Spec.from_json((folder / "spec.json").read_bytes())
    except (OSError, ValueError):
        return "task", "release another model"
    target = spec.parameters.get("target")
    if target is None:
        return f"task {spec.task}", "release another model"
    name = target["name"] if isinstance(target, dict) else target
    return f"task {spec.task} of {name}", f"leave {name} and what is made from it out of the recipe"


def _bug(message: str) -> Failure:
    return Failure(kind="terminal", cause="bug", error="Bug", message=message)


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_END_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
