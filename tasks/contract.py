"""What goes into a task and what comes out: spec.json, result.json, and the context a task works in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import model_validator

from tasks.errors import Cause, DiskFull, HallmarkError, MemoryExceeded, OutOfMemory, ToolKilled, TransientError
from tasks.manifest import Cost, Manifest, Sha256
from tasks.model import JsonObject, Model
from tasks.store.base import Store

EXIT_TERMINAL, EXIT_TRANSIENT, EXIT_NO_RESULT = 65, 75, 73
"""How a task's process ends besides 0: EX_DATAERR, EX_TEMPFAIL, and EX_CANTCREAT of sysexits(3)."""


class Spec(Model):
    """All that a task is told: its name, its parameters, and the artifacts it is made from (name to key).

    hardware: what a timing depends on besides the threads, as the task's pool declares it. Empty for a task that is
        run by hand: then it is the processor of the host that runs it.
    """

    task: str
    parameters: JsonObject = {}
    inputs: dict[str, Sha256] = {}
    threads: int = 1
    hardware: str = ""
    force: bool = False


CAUSE_OF_ERROR: dict[str, Cause] = {
    "Bug": "bug",
    **{error.__name__: error.cause for error in (DiskFull, MemoryExceeded, OutOfMemory, ToolKilled)},
}
"""The causes in results of jobs that an earlier version started: those named only the error."""


class Failure(Model):
    """Why a task failed.

    kind: `transient` may be retried as it is, `terminal` needs a change by somebody.
    cause: what code decides by.
    error: the name of the error's class, for a person who reads the result; code does not look at it.
    message: one sentence that a person can act on; of a bug, the traceback's end.
    """

    kind: Literal["transient", "terminal"]
    cause: Cause = "error"
    error: str
    message: str

    @classmethod
    def of(cls, error: HallmarkError) -> "Failure":
        """Return the failure of a task that raised `error`."""
        kind: Literal["transient", "terminal"] = "transient" if isinstance(error, TransientError) else "terminal"
        return cls(kind=kind, cause=error.cause, error=type(error).__name__, message=str(error))

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, given: Any) -> Any:
        if isinstance(given, dict) and "cause" not in given and isinstance(given.get("error"), str):
            return {**given, "cause": CAUSE_OF_ERROR.get(given["error"], "error")}
        return given


class Result(Model):
    """All that a task tells: the key of its artifact, small facts, its cost; or its failure."""

    artifact: Sha256 | None = None
    facts: JsonObject = {}
    cost: Cost = Cost()
    reused: bool = False
    failure: Failure | None = None


class TaskContext(Protocol):
    """What a task is given besides its parameters.

    inputs: the manifests of the spec's inputs, by name.
    output: an empty folder; the files in it when the task returns are its artifact.
    scratch: an empty folder on the same disk, removed afterwards.
    threads: how many threads the task may run.
    hardware: the hardware in words, as the task's pool declares it.
    """

    inputs: Mapping[str, Manifest]
    output: Path
    scratch: Path
    threads: int
    hardware: str
    store: Store

    def materialize(self, name: str) -> Path:
        """Return a read-only folder with the files of input `name`, taken through the worker cache."""

    def workspace(self, name: str) -> Path:
        """Return a folder that this host's tasks share for what they work out of input `name`, materialized before.

        Never the only copy of anything: it goes when the worker cache drops the input.
        """

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tell a person what is going on; `fraction` is the share done, 0 to 1."""

    def version(self, tool: str, version: str) -> None:
        """Record in the manifest that `tool` took part in `version`."""


TaskFunction = Callable[[Any, TaskContext], Mapping[str, Any]]
"""A task: (parameters, context) -> small JSON facts, kept in the manifest and handed to the next tasks."""


Device = Literal["cpu", "cuda"]


class Needs(Model):
    """The hardware without which a task cannot run; a pool that offers it can take the task.

    device: "cpu", or "cuda" for an NVIDIA GPU.
    capability: the lowest CUDA compute capability, as (major, minor); None where any will do.
    instructions: processor features as /proc/cpuinfo spells them (`avx512_vnni`), all of which must be there.
    """

    device: Device = "cpu"
    capability: tuple[int, int] | None = None
    instructions: tuple[str, ...] = ()


ANY_PROCESSOR = Needs()

Width = Literal["narrow", "wide", "whole"]
"""How many slots of its pool a task takes: one; as many as help it; or all of a host's, because it takes the time."""


@dataclass(frozen=True)
class TaskDefinition:
    """How a task is found, run and keyed; light enough to be read when a DAG is parsed.

    function: "module:function", imported only inside the runtime.
    parameters: "module:Class", the pydantic model of the parameters.
    runtime: the name of the locked environment it runs in.
    roots: "module:attribute" of code that decides the output and that `function` finds by name and does not import
        (an engine's runner, the serving module that is copied). The key covers these modules, `function`'s, and all
        that they import: see tasks/code_closure.py.
    values: what else decides the output and is in no parameter (which files of a format hold weights).
    reads: per input, glob patterns of the files that decide the output; all files where an input is not named.
    keyed: whether an artifact with the same key makes running it needless.
    native: names of native tool builds (see tasks.runtimes) that decide the output.
    hardware: whether the threads and the pool's hardware decide the output, as they do of a timing.
    access: what it talks to besides the store; only then does its process get those credentials.
    needs: the hardware it runs on.
    width: how many slots of its pool, and so threads, it takes.
    """

    name: str
    function: str
    parameters: str
    runtime: str
    roots: Sequence[str] = ()
    values: Sequence[str] = ()
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keyed: bool = True
    native: Sequence[str] = ()
    hardware: bool = False
    access: Sequence[Literal["hub", "registry"]] = ()
    needs: Needs = ANY_PROCESSOR
    width: Width = "narrow"
