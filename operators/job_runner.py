"""What the operator asks of whatever runs a model task: today a process on this host, later perhaps a pod."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from tasks.contract import Result, Spec

JobStatus = Literal["absent", "running", "ended"]
"""`absent`: the job was never started, or its end was noticed; `ended`: nobody has noticed its end yet."""


class JobRunner(Protocol):
    """One job, named by what it makes; it outlives the Airflow process that submitted it."""

    def submit(self, python: Path, spec: Spec, environment: Mapping[str, str]) -> bool:
        """Attach to the job where it runs or has succeeded unnoticed, else start it; return whether it attached.

        python: the interpreter of the runtime. environment: all variables that the job sees.
        """

    def status(self) -> JobStatus:
        """Return how far the job is, without attaching to it."""

    def wait(self, on_line: Callable[[str], None]) -> Result:
        """Wait for the job's end, give each line of its log to `on_line`, and return its result or its failure."""

    def kill(self) -> bool:
        """End the job and all that it started; return False where another run waits for it, too: then it goes on."""
