"""A task that writes more than a small disk holds, in the ways in which converters and foreign tools do."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.errors import Corrupt
from tasks.host.tools import run_tool
from tasks.model import Model
from tasks.settings import home
from tests.fixtures.disks import fill as take_all
from tests.tasks.probe import KEYED

SIZE = 12 * 2**20

TOOLS = {
    "tool": "open(sys.argv[1], 'wb').write(bytes(int(sys.argv[2])))",
    "tool with words of its own": """
if open(sys.argv[1], 'wb', buffering=0).write(bytes(int(sys.argv[2]))) < int(sys.argv[2]):
    sys.exit('ggml_abort: bad tensor')
""",
    "tool that does not look": """
file = open(sys.argv[1], 'wb', buffering=0)
file.write(bytes(int(sys.argv[2])))
""",
    "tool that maps its output": """
import mmap
file = open(sys.argv[1], 'w+b'); file.truncate(int(sys.argv[2]))
mapped = mmap.mmap(file.fileno(), 0)
for place in range(0, len(mapped), 4096): mapped[place] = 1
""",
}
"""Foreign tools as Python programs: told where to write, and how much."""

WAYS = ["python", *TOOLS]


class FillParameters(Model):
    """way: one of WAYS, or "neighbour": somebody else fills the disk before the result is written, or "log"."""

    way: str


FILL = dataclasses.replace(
    KEYED,
    name="fill",
    function="tests.faults.disk_task:fill",
    parameters="tests.faults.disk_task:FillParameters",
)


def fill(parameters: FillParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write model.bin; raises Corrupt where it is not whole."""
    made = context.output / "model.bin"
    if parameters.way in ("neighbour", "log"):
        made.write_text("made")
        take_all(home().parent)
        if parameters.way == "log":
            context.progress("a line for which there is no space")
        return {}
    if parameters.way == "python":
        made.write_bytes(bytes(SIZE))
    else:
        program = context.scratch / "tool.py"
        program.write_text("import sys" + "\n" + TOOLS[parameters.way])
        run_tool([sys.executable, program, made, str(SIZE)], cwd=context.scratch, log=context.scratch / "log")
    if made.stat().st_size != SIZE:
        raise Corrupt(f"{made.name} has {made.stat().st_size} bytes and not {SIZE}; convert it again.")
    return {"bytes": SIZE}
