"""A measured number with its uncertainty, and the records that hold all that was measured on an artifact."""

from tasks.model import Model
from tasks.records import Record


class Measurement(Model):
    """A value, its standard error (None where it is a count or an extreme) and how many observations it rests on."""

    value: float
    standard_error: float | None = None
    observations: int = 1


class Evaluation(Record):
    """All that `evaluate` found out about one artifact; `notes` are sentences for the report (first mismatches ...)."""

    engine: str
    emulated: bool
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
