"""The interface of a task: its input (spec.json), its output (result.json), its context and its definition.

A task runs in its own process. The operator writes spec.json and reads result.json, so the process can run in
another environment or on another host.
"""

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
"""Exit statuses of a task's process besides 0: EX_DATAERR, EX_TEMPFAIL and EX_CANTCREAT of sysexits(3)."""


PROVISIONAL = "provisional"
"""The fact by which a task says that another run must not reuse its artifact, and why. It is stored under a key of this
run alone, so a later run does the task again."""


class Spec(Model):
    """The input of a task.

    task: the task's name.
    parameters: the task's parameters, see TaskDefinition.parameters.
    inputs: names of the artifacts that the task reads to their keys.
    threads: how many threads the task may run.
    hardware: the hardware in words, as the task's pool declares it; measured speeds depend on it. If it is empty, as
        for a task that is run by hand, the processor of the host that runs the task is used.
    force: whether to run the task even if the store has its artifact.
    forced_by: the id of the run that forces the task. An output that this run finished and could not send is sent by
        its next try. Without an id, a forced task always makes its output again.
    """

    task: str
    parameters: JsonObject = {}
    inputs: dict[str, Sha256] = {}
    threads: int = 1
    hardware: str = ""
    force: bool = False
    forced_by: str = ""


CAUSE_OF_ERROR: dict[str, Cause] = {
    "Bug": "bug",
    **{error.__name__: error.cause for error in (DiskFull, MemoryExceeded, OutOfMemory, ToolKilled)},
}
"""The causes of errors in results of earlier versions, which contain only the error's name."""


class Failure(Model):
    """The failure of a task.

    kind: `transient` if a retry may succeed; `terminal` if something must be changed first.
    cause: the cause, by which code decides how to go on.
    error: the name of the error's class, for people. Code does not use it.
    message: one sentence that a person can act on, or the end of the traceback if the failure is a bug.
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
    """The output of a task: its artifact, facts and cost, or its failure.

    artifact: the key of the artifact; None if there is none.
    facts: small JSON facts for the next tasks and for reports.
    reused: whether the artifact was already in the store.
    failure: None if the task succeeded.
    """

    artifact: Sha256 | None = None
    facts: JsonObject = {}
    cost: Cost = Cost()
    reused: bool = False
    failure: Failure | None = None


class TaskContext(Protocol):
    """The inputs, folders and services that a task gets besides its parameters.

    inputs: the manifests of the spec's inputs, by name.
    output: an empty folder. The files that are in it when the task returns become its artifact.
    scratch: an empty folder on the same disk. It is removed when the task ends.
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
        """Return a read-only folder with the files of the input `name`, downloaded to the worker cache if needed."""

    def workspace(self, name: str) -> Path:
        """Return a folder for data that this host's tasks compute from the input `name` and share.

        The input must have been materialized before. The folder is deleted when the worker cache evicts the input, so
        it must not contain the only copy of anything.
        """

    def drop_workspace(self, name: str) -> None:
        """Remove that folder, unless a task of this host uses the input `name` at the moment."""

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Report progress to the log. `fraction` is the share of the work that is done, 0 to 1."""

    def version(self, tool: str, version: str) -> None:
        """Record the version of a tool that the task used in the manifest."""


TaskFunction = Callable[[Any, TaskContext], Mapping[str, Any]]
"""The function of a task: (parameters, context) -> small JSON facts for the manifest and for the next tasks."""


Device = Literal["cpu", "cuda"]


class Needs(Model):
    """The hardware that a task needs. It can run in a pool that offers all of it.

    device: "cpu", or "cuda" for an NVIDIA GPU.
    capability: the lowest CUDA compute capability that suffices, as (major, minor); None for any.
    instructions: the processor features that it needs, as /proc/cpuinfo spells them (`avx512_vnni`).
    """

    device: Device = "cpu"
    capability: tuple[int, int] | None = None
    instructions: tuple[str, ...] = ()


ANY_PROCESSOR = Needs()


@dataclass(frozen=True)
class TaskDefinition:
    """The facts that are needed to find, schedule, run and key a task.

    DAG parsing imports all definitions, so functions and parameters are named as text and imported later.

    function: "module:function", imported only inside the runtime.
    parameters: "module:Class", the pydantic model of the parameters.
    runtime: the name of the locked environment in which it runs.
    roots: "module:attribute" of code that decides the output but that `function` does not import, for example an
        engine's runner, or the serving module that is copied. The key covers these modules, the function's module, and
        everything that they import; see tasks/code_closure.py.
    values: other values that decide the output, for example the patterns of a format's weight files.
    reads: input to glob patterns of the files that decide the output. An input that is not listed counts with all its
        files.
    facts: input to the names of its facts that decide the output. Other facts of an input must not decide it.
    keyed: whether the artifact is reused if the store has one with the same key.
    native: names of native tools (see tasks.runtimes) whose builds decide the output.
    hardware: whether the hardware that the pool declares decides the output, as for every measurement. On an
        accelerator it always does, because what is computed differs from one model to another.
    timing: whether the number of threads decides the output, too, as for measured speeds.
    access: the services that it uses besides the store. Its process gets only their credentials.
    needs: the hardware that it needs.
    threads: the most threads that help it. It takes as many slots of its pool, but at most half of a host's, so that
        two such tasks run side by side. None: it measures speed. It takes all slots of a host, so that no other task
        disturbs it, and in a pool of processors runs a thread on each core but one.
    """

    name: str
    function: str
    parameters: str
    runtime: str
    roots: Sequence[str] = ()
    values: Sequence[str] = ()
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keyed: bool = True
    native: Sequence[str] = ()
    hardware: bool = False
    timing: bool = False
    access: Sequence[Literal["hub", "registry"]] = ()
    needs: Needs = ANY_PROCESSOR
    threads: int | None = 1

    @property
    def depends_on_hardware(self) -> bool:
        """Whether the hardware that the pool declares decides the output: for measurements, and on accelerators."""
        return self.hardware or self.needs.device != "cpu"
