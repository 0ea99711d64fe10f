"""A measured number with its uncertainty, and the records of everything that was measured on an artifact."""

from tasks.model import Model
from tasks.records import Record


class Measurement(Model):
    """A value, its standard error (None where it is a count or an extreme) and how many observations it rests on."""

    value: float
    standard_error: float | None = None
    observations: int = 1


class Evaluation(Record):
    """All that `evaluate` found out about one artifact; `notes` are sentences for the report (first mismatches ...).

    emulated: whether the numbers come from another engine than the one that will serve the artifact. No engine of today
        is measured so.
    """

    engine: str
    emulated: bool = False
    metrics: dict[str, Measurement]
    notes: tuple[str, ...] = ()


class Benchmark(Record):
    """All that `benchmark` measured: how, where, and the numbers."""

    engine: str
    threads: int
    hardware: str
    prompt_tokens: int
    generated_tokens: int
    repetitions: int
    metrics: dict[str, Measurement]
