"""Which process is killed, and when: the named moments of a release, and random ones."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.stack import is_attempt_manifest, is_manifest
from tests.chaos.strike import When
from tests.fixtures.faulty_proxy import Request

Victim = Literal["job", "tool", "task", "worker", "scheduler", "s3", "mlflow"]
"""job: the model task's process; tool: the foreign program it runs; task: the Airflow process that waits for it;
worker: the one of Airflow's executor above that; the others: components of the stack."""

AIRFLOW: tuple[Victim, ...] = ("task", "worker", "scheduler")
"""Victims whose death no model task notices: it is attached to."""


@dataclass(frozen=True)
class Moment:
    """A request to a server, and where in it. `wide` needs files that are sent in several parts."""

    name: str
    server: Literal["s3", "mlflow"]
    when: When
    matches: Callable[[Request], bool]
    wide: bool = False


def _manifest_of(kind: str) -> Callable[[Request], bool]:
    return lambda request: is_manifest(request) and json.loads(request.body)["kind"] == kind


def _posted(path: str, said: bytes = b"") -> Callable[[Request], bool]:
    return lambda request: request.method == "POST" and request.path.endswith(path) and said in request.body


def _uploaded(part: str, suffix: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "PUT" and part in request.target and suffix in request.path


MOMENTS = {
    moment.name: moment
    for moment in (
        Moment("just before a manifest", "s3", "before", _manifest_of("convert")),
        Moment("just after a manifest", "s3", "after", _manifest_of("convert")),
        Moment("just after an attempt's own manifest", "s3", "after", is_attempt_manifest),
        Moment("just before an evaluation's manifest", "s3", "before", _manifest_of("evaluate")),
        Moment("just after the snapshot's manifest", "s3", "after", _manifest_of("fetch")),
        Moment("in an upload", "s3", "middle", _uploaded("/artifacts/", ".gguf")),
        Moment("in a part of an upload", "s3", "middle", _uploaded("partNumber=2", ".gguf"), wide=True),
        Moment("before the first version", "mlflow", "before", _posted("/model-versions/create")),
        Moment("between two versions", "mlflow", "after", _posted("/model-versions/create")),
        Moment("as a version is made", "mlflow", "unheard", _posted("/model-versions/create")),
        Moment("between the record and the aliases", "s3", "after", _uploaded("/releases/", "/current.json")),
        Moment("between two aliases", "mlflow", "after", _posted("/registered-models/alias", b'"champion"')),
    )
}

CONVERTING = "while converting"
TOOL_RUNS = "while a tool runs"
RANDOM = "at random"


@dataclass(frozen=True)
class Fault:
    """One kill. `after` is a random moment's time since the trigger in seconds."""

    victim: Victim
    moment: str
    after: float = 0.0

    @property
    def wide(self) -> bool:
        """Whether the model has to be large enough for uploads in parts."""
        return self.moment in MOMENTS and MOMENTS[self.moment].wide

    def __str__(self) -> str:
        return f"{self.victim} {self.moment}" + (f" ({self.after:.1f} s)" if self.moment == RANDOM else "")


NAMED = (
    Fault("job", "just after a manifest"),
    Fault("task", CONVERTING),
    Fault("job", "between two versions"),
    Fault("scheduler", CONVERTING),
    Fault("job", "between two aliases"),
    Fault("s3", "in an upload"),
    Fault("mlflow", "between two versions"),
    Fault("tool", TOOL_RUNS),
    Fault("job", "just before a manifest"),
    Fault("job", "just after an attempt's own manifest"),
    Fault("s3", "just after a manifest"),
    Fault("mlflow", "between two aliases"),
    Fault("worker", CONVERTING),
    Fault("job", "in a part of an upload"),
    Fault("mlflow", "as a version is made"),
    Fault("mlflow", "before the first version"),
    Fault("job", "between the record and the aliases"),
    Fault("scheduler", "between two aliases"),
)
"""The first rounds, the likeliest to find something first; the rounds after them are drawn."""

RELEASE_SECONDS = 45.0
"""Random moments lie within this time of the trigger: how long a small release takes on two idle cores."""


def fault_of(round_number: int, seed: int) -> Fault:
    """Return the fault of a round, counted from 1: the same for the same seed, whatever rounds were before."""
    if round_number <= len(NAMED):
        return NAMED[round_number - 1]
    draw = random.Random(f"{seed}-{round_number}")
    victims: tuple[Victim, ...] = ("job", "task", "worker", "scheduler", "s3", "mlflow")
    victim = draw.choice(victims)
    if draw.random() < 0.5:
        return Fault(victim, draw.choice(sorted(MOMENTS)))
    return Fault(victim, RANDOM, draw.uniform(0, RELEASE_SECONDS))
