"""A task that takes memory, by itself or through a foreign tool, and then waits or crashes."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.contract import TaskContext
from tasks.host.tools import run_tool
from tasks.model import Model
from tests.tasks.probe import KEYED

PROGRAM = """
import ctypes, os, resource, sys, time
megabytes, end = int(sys.argv[1]), sys.argv[2]
held = []
for _ in range(megabytes // 10):
    held.append(b"x" * 10_000_000)
    time.sleep(0.02)
if end == "segmentation":
    ctypes.string_at(0)
if end == "abort":
    os.abort()
if end == "refused":
    resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))
    bytes(10**10)
if end == "wait":
    print(os.getpid(), flush=True)
    time.sleep(120)
"""


class MemoryParameters(Model):
    """megabytes: what it takes, in steps. end: what it does then. pid: a file for the number of the process."""

    megabytes: int = 0
    end: str = "wait"
    tool: bool = False
    pid: str = ""


TAKES_MEMORY = dataclasses.replace(
    KEYED,
    name="takes_memory",
    function="tests.faults.memory_task:take",
    parameters="tests.faults.memory_task:MemoryParameters",
)


def take(parameters: MemoryParameters, context: TaskContext) -> Mapping[str, Any]:
    """Run the program, here or as a tool."""
    program = context.scratch / "tool.py"
    program.write_text(PROGRAM)
    arguments = [str(parameters.megabytes), parameters.end]
    if parameters.tool:
        run_tool(
            [sys.executable, program, *arguments],
            cwd=context.scratch,
            log=context.scratch / "log",
            on_line=lambda line: _tell(parameters.pid, line),
        )
    else:
        sys.argv = ["tool.py", *arguments]
        exec(compile(PROGRAM, "tool.py", "exec"), {})
    return {}


def _tell(file: str, line: str) -> None:
    if file and line.isdigit():
        Path(file).write_text(line)
