"""Foreign tools, run as children with a scrubbed environment: they get no credentials.

A tool ends with its task. A task that gets SIGTERM kills its tool; if the task itself is killed, the kernel does.
"""

import ctypes
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.errors import HallmarkError, OutOfMemory, ToolFailed, ToolKilled
from tasks.host.control_group import kernel_kills
from tasks.host.shortage import MEND_MEMORY

TOLD_LINES = 12
"""Number of a failed tool's last lines in the error: enough for the end of a Python traceback."""

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

CRASHES = {
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS),
    *(signal.SIGXCPU, signal.SIGXFSZ),
}
"""Signals that a fault of the process itself raises: a retry would end the same. Other signals are sent by others."""

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
) -> None:
    """Run a tool to its end. Its output is appended to `log`, and each line is given to `on_line`.

    Its environment is PASSED_ON, HOME=`cwd`, and `env`.

    Raises ToolFailed, with the tool's last lines, if it exits non-zero, crashes or cannot be started; OutOfMemory if
    the kernel killed it because memory ran out; and ToolKilled if somebody else ended it.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"HOME": str(cwd), "PYTHONUNBUFFERED": "1", **(env or {})}
    name = Path(argv[0]).name if len(argv) < 2 or not str(argv[1]).endswith(".py") else Path(argv[1]).name
    last: deque[str] = deque(maxlen=TOLD_LINES)
    killed_before = kernel_kills()
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
            # The task was told to stop; the tool may have hours to go.
            process.kill()
            raise
    if process.returncode:
        raise _failed(name, process.returncode, "\n".join(last) or "it said nothing", kernel_kills() > killed_before)


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


def _failed(name: str, status: int, said: str, killed_by_kernel: bool) -> HallmarkError:
    if status > 0:
        return ToolFailed(f"{name} failed with exit status {status}; its last lines:\n{said}")
    ended_by = signal_name(-status)
    if -status in CRASHES:
        return ToolFailed(f"{name} crashed with {ended_by}; its last lines:\n{said}")
    if -status == signal.SIGKILL and killed_by_kernel:
        return OutOfMemory(f"{name} was killed by the kernel because memory ran out{MEND_MEMORY}")
    return ToolKilled(f"{name} was ended by {ended_by}, which somebody sent; its last lines:\n{said}")


def _start(argv: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 (it calls nothing but the kernel)
        )
    except OSError as error:
        raise ToolFailed(f"{argv[0]} could not be started: {error}; see that it is installed.") from error
