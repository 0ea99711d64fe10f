"""Foreign tools, run as children with a scrubbed environment: they get no credentials.

A tool ends with its task. A task that gets SIGTERM kills its tool; if the task itself is killed, the kernel does.
"""

import ctypes
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import HallmarkError, OutOfMemory, ToolFailed, ToolKilled
from tasks.host.control_group import kernel_kills
from tasks.host.shortage import FIX_MEMORY, SHORT_OF_MEMORY

SHOWN_LINES = 12
"""Number of a failed tool's last lines in the error: enough for the end of a Python traceback."""

FAULT = re.compile(
    r"\b(error|exception|assert\w*|fail(ed|ure)?|cannot|can't|unable|invalid)\b|GGML_ASSERT", re.IGNORECASE
)
"""What the line of a tool that reports its failure holds."""

STAMP = re.compile(r"^\d+(\.\d+)+ [A-Z] (?=\S)")
"""Time and level, with which llama.cpp's tools begin a line."""

SILENT = "no message"

LAST_LINES = " Its last lines:"
"""Begins the last lines of a failed tool, behind the message's sentence."""

PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
)
"""The only variables a foreign tool inherits."""

CRASHES = {
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS),
    *(signal.SIGXCPU, signal.SIGXFSZ),
}
"""Signals that a fault of the process itself raises: a retry would end the same. Other signals are sent by others."""

HOST_FIXES: dict[int, str] = {
    signal.SIGILL: "the processor of this host may lack an instruction: run it on another host",
    signal.SIGBUS: "a file that it reads or writes may be cut or on a disk with faults: check the disk",
    signal.SIGXCPU: "it exceeded a limit on processor time: raise the limit of the user (ulimit -t)",
    signal.SIGXFSZ: "it exceeded a limit on the size of a file: raise the limit of the user (ulimit -f)",
}
"""What helps after a crash that may be the fault of the host."""

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

_prctl = ctypes.CDLL(None).prctl


def run_tool(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    subject: str = "",
    remedy: str = "",
) -> None:
    """Run a tool to its end. Its output is appended to `log`, and each line is given to `on_line`.

    Its environment is PASSED_ON, HOME=`cwd`, and `env`.
    subject: what it works on, and remedy: what a person can do if it fails, for the message.

    Raises ToolFailed if it exits non-zero, crashes or cannot be started; the message begins with the tool's own words,
    and ends with its last lines. Raises OutOfMemory if it got no memory, or if the kernel killed it because memory ran
    out; and ToolKilled if somebody else ended it.
    """
    name = Path(argv[0]).name if len(argv) < 2 or not str(argv[1]).endswith(".py") else Path(argv[1]).name
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    killed_before = kernel_kills()
    with log.open("ab") as kept, _start(argv, cwd, env or {}, subprocess.PIPE) as process:
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
            # The task was told to stop; the tool may have hours to go.
            process.kill()
            raise
    if process.returncode:
        what = f"{name}, at work on {subject}," if subject else name
        raise _failed(what, process.returncode, last, remedy, kernel_kills() > killed_before)


@contextmanager
def tool_beside(argv: Sequence[str | Path], *, cwd: Path, log: Path) -> Iterator[Callable[[], HallmarkError | None]]:
    """Run a tool as long as the block lasts, in the environment of `run_tool`; its output is written to `log`.

    Yield a function that returns None while the tool runs, and the error that `run_tool` would raise once it has ended;
    the tool may end only with the block. Raises ToolFailed if it cannot be started.
    """
    name, killed_before = Path(argv[0]).name, kernel_kills()
    with log.open("wb") as kept, _start(argv, cwd, {}, kept) as process:

        def ended() -> HallmarkError | None:
            if process.poll() is None:
                return None
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            return _failed(name, process.returncode, last, "", kernel_kills() > killed_before)

        try:
            yield ended
        finally:
            process.kill()


def dies_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` for a child that the kernel is to kill when the thread that started it ends.

    The child's own children are not killed.
    """
    parent = os.getpid()

    def ask() -> None:
        _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def signal_name(number: int) -> str:
    """Return a signal's name; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_words(lines: Sequence[str]) -> str:
    """Return the line by which a tool reports why it failed; SILENT where there is none.

    It is the end of a Python traceback, else the first line about missing memory, else the first about a fault. Later
    lines say what follows from it.
    """
    shown = [STAMP.sub("", line.strip()) for line in lines if line.strip()]
    if not shown:
        return SILENT
    raised = _raised(lines)
    if raised:
        return next((line for line in raised if SHORT_OF_MEMORY.search(line)), raised[0])
    return next((line for sign in (SHORT_OF_MEMORY, FAULT) for line in shown if sign.search(line)), shown[-1])


def _raised(lines: Sequence[str]) -> list[str]:
    """Return the error at the end of a Python traceback: its type and message, which may have several lines."""
    frames = [place for place, line in enumerate(lines) if line.lstrip().startswith('File "')]
    after = [line for place, line in enumerate(lines) if frames and place > frames[-1]]
    # The source lines of a traceback are indented.
    return [line.strip() for line in after if line.strip() and not line.startswith(("    ", "  [Previous line"))]


def _failed(what: str, status: int, last: Sequence[str], remedy: str, killed_by_kernel: bool) -> HallmarkError:
    words = last_words(last).rstrip(".")
    lines = "\n".join(last)
    remedy = HOST_FIXES.get(-status, remedy)
    end = (f"; {remedy}." if remedy else ".") + (f"{LAST_LINES}\n{lines}" if lines else "")
    if (status > 0 or -status in CRASHES) and SHORT_OF_MEMORY.search(words):
        return OutOfMemory(f"{words}: {what} got no memory{FIX_MEMORY}")
    if status >= 0:
        return ToolFailed(f"{words}: {what} failed with exit status {status}{end}")
    ended_by = signal_name(-status)
    if -status in CRASHES:
        return ToolFailed(f"{words}: {what} crashed with {ended_by}{end}")
    if -status == signal.SIGKILL and killed_by_kernel:
        return OutOfMemory(f"{what} was killed by the kernel because memory ran out{FIX_MEMORY}")
    return ToolKilled(f"{what} was ended by {ended_by} from outside the task; its last lines:\n{lines or SILENT}")


def _start(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str], output: int | IO[bytes]
) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"HOME": str(cwd), "PYTHONUNBUFFERED": "1", **env}
    try:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 (it calls nothing but the kernel)
        )
    except OSError as error:
        raise ToolFailed(f"{argv[0]} could not be started: {error}; see that it is installed.") from error
