"""Stand in for a runtime's interpreter: jobs that sleep, fail or die as their spec says, or real tasks of tests."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks.contract import Spec
from tasks.model import Model
from tasks.settings import REPOSITORY

SCRIPT = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time
_, _, module, task, spec_file, _, result_file = sys.argv
folder = pathlib.Path(spec_file).parent
wishes = json.loads(pathlib.Path(spec_file).read_text())["parameters"]
with (folder / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\\n")
print("begun", flush=True)
print(wishes.get("prints", ""), end="", flush=True)
if "child" in wishes:
    command = ["sh", "-c", "trap '' TERM; echo $$ > child; while :; do sleep 0.05; done"]
    subprocess.Popen(command, cwd=folder)
    while not (folder / "child").exists():
        time.sleep(0.01)
while wishes.get("until") and not (folder / wishes["until"]).exists():
    time.sleep(0.02)
if wishes.get("signal"):
    os.kill(os.getpid(), wishes["signal"])
if wishes.get("crash"):
    raise RuntimeError("planted bug")
print("environment " + json.dumps(dict(os.environ)))
print("an end without its line's", end="", flush=True)
result = {"facts": {"pid": os.getpid()}}
if wishes.get("failure"):
    result = {"failure": {"kind": wishes["failure"], "error": "X", "message": "planted"}}
pathlib.Path(result_file).write_text(json.dumps(result))
sys.exit(75 if wishes.get("failure") else 0)
"""

TASKS = """#!{python}
import sys
sys.path.insert(0, "{repository}")
from tasks import definitions
from tests.faults.disk_task import FILL
from tests.faults.memory_task import TAKES_MEMORY
from tests.tasks.probe import KEYED
for definition in (FILL, TAKES_MEMORY, KEYED):
    definitions.FIXED[definition.name] = definition
    definitions.TASK_NAMES.append(definition.name)
del sys.argv[1:3]
from tasks.__main__ import main
sys.exit(main())
"""


def interpreter(folder: Path) -> Path:
    """Write the script and return its path."""
    return _script(folder / "python", SCRIPT)


def task_interpreter(folder: Path) -> Path:
    """Write a script that is `python -m tasks` with the tasks of tests besides; return its path."""
    return _script(folder / "python-with-tasks", TASKS)


def _script(path: Path, text: str) -> Path:
    path.write_text(text.replace("{python}", sys.executable).replace("{repository}", str(REPOSITORY)))
    path.chmod(0o755)
    return path


def spec(**wishes: object) -> Spec:
    """A spec: `until` (a file's name) sleeps until that exists; `prints`, `signal`, `crash`, `failure`, `child`."""
    return Spec(task="pin", parameters=wishes)


class Wishes(Model):
    """The wishes as a task's parameters."""

    until: str | None = None
    signal: int = 0
    crash: bool = False
    failure: str | None = None
    note: str = ""
    outside: Annotated[str, Field(exclude=True)] = ""
