"""A task for tests of how tasks are run: it does what its parameters say, and keeps account of being run."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.contract import PROVISIONAL, TaskContext, TaskDefinition
from tasks.errors import Corrupt, HubUnavailable
from tasks.model import Model

KEYED = TaskDefinition(
    name="probe",
    function="tests.tasks.probe:probe",
    parameters="tests.tasks.probe:ProbeParameters",
    runtime="control",
    reads={"snapshot": ("*.json", "weights/*")},
)


class ProbeParameters(Model):
    """word: what is written. do: what happens after that. log: a file that gets a line each time."""

    word: str = "word"
    do: str = "finish"
    log: str | None = None


def probe(parameters: ProbeParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write the word and do as told."""
    if parameters.log:
        with Path(parameters.log).open("a") as log:
            log.write(f"{os.getpid()} {context.scratch}\n")
    if parameters.do == "nothing":
        return {}
    (context.output / "word.txt").write_text(parameters.word)
    (context.scratch / "left").write_text("scratch")
    context.version("probe", "1")
    if parameters.do == "large":
        (context.output / "large").write_bytes(bytes(range(256)) * (12 * 4096))
    if parameters.do == "corrupt":
        raise Corrupt("the word is wrong; write another.")
    if parameters.do == "away":
        raise HubUnavailable("the Hub is away; try again later.")
    if parameters.do == "bug":
        raise RuntimeError("planted bug")
    if parameters.do == "link":
        (context.output / "z").symlink_to("/etc/hostname")
    if parameters.do == "environment":
        child = subprocess.run(["env", "-0"], capture_output=True, text=True, check=True).stdout.split("\0")
        return {"own": sorted(os.environ), "childs": sorted(line.partition("=")[0] for line in child if line)}
    if parameters.do in ("quote", "report"):
        # What a library may do that has kept what it was given.
        given = Path("/proc/self/environ").read_text().split("\0")
        (token,) = [line.partition("=")[2] for line in given if line.startswith("HF_TOKEN=")]
        quoted = f"401 for http://user:{token}@h"
        print(quoted, file=sys.stderr)
        raise Corrupt(quoted) if parameters.do == "report" else RuntimeError(quoted)
    if parameters.do == "log":
        logging.basicConfig(level=logging.DEBUG)
        logging.getLogger("library").info("what it does")
        logging.getLogger("library").warning("what matters")
    if parameters.do == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if parameters.do == "slow":
        time.sleep(0.5)
    if parameters.do == "wait":
        time.sleep(600)
    if parameters.do == "work":
        _work(context)
    if parameters.do == "provisional":
        return {PROVISIONAL: "the word was disturbed"}
    read = {name: sorted(path.name for path in context.materialize(name).rglob("*")) for name in context.inputs}
    return {"length": len(parameters.word), "read": read, "threads": context.threads}


def _work(context: TaskContext) -> None:
    """Take processor time, memory and bytes, in this process and in a child, so that costs can be told."""
    memory = b"x" * (64 * 2**20)
    (context.scratch / "bytes").write_bytes(memory)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"], check=True)
