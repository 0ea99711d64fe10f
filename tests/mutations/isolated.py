"""Calls a function in a child of this process: what it does to the process, or how it dies, is lost with the child.

A child has what its parent has imported, and so begins at once.
"""

import json
import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 300
"""A child that takes longer is ended."""


class Died(Exception):
    """Raised where the child was ended by a signal; the message names it."""


def isolated(function: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what `function` returns, through JSON; raises Died, and RuntimeError with an exception's traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _silence()
        _answer(function, writing)
    os.close(writing)
    answer = _read(reading, child, seconds)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Died(signal.Signals(os.WTERMSIG(status)).name)
    if not answer:
        raise Died(f"exit status {os.waitstatus_to_exitcode(status)}")
    found = json.loads(answer)
    if "error" in found:
        raise RuntimeError(found["error"])
    return found["value"]


def _silence() -> None:
    """Let an engine that dies say nothing; what it says of a file is in its error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # llama.cpp would start a debugger.
    os.environ["GGML_NO_BACKTRACE"] = "1"


def _answer(function: Callable[[], Any], writing: int) -> None:
    """Write the answer and leave, without what a parent's exit would do a second time."""
    try:
        found = {"value": function()}
    except BaseException:
        found = {"error": traceback.format_exc()}
    with os.fdopen(writing, "w") as answer:
        json.dump(found, answer)
    os._exit(0)


def _read(reading: int, child: int, seconds: float) -> bytes:
    parts = list[bytes]()
    with os.fdopen(reading, "rb", buffering=0) as answers:
        while select.select([answers], [], [], seconds)[0]:
            part = answers.read(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
    os.kill(child, signal.SIGKILL)
    return b""
