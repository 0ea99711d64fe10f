"""A measured number with its uncertainty, and the records of everything that was measured on an artifact."""

from typing import ClassVar

from tasks.model import Model
from tasks.records import Record


class Measurement(Model):
    """A value, its standard error (None where it is a count or an extreme) and how many observations it rests on."""

    value: float
    standard_error: float | None = None
    observations: int = 1


class Differences(Model):
    """Where one artifact differs from the source, token by token and text by text.

    nll: negative log-likelihood minus the source's, in nats, of the first predicted tokens of the evaluation windows,
        in their order.
    cuts: for each parity text that the artifact's tokenizer cuts otherwise than the source's, by the text's name: the
        SHA-256 of the artifact's ids.
    """

    nll: tuple[float, ...]
    cuts: dict[str, str]


class Evaluation(Record):
    """All that `evaluate` found out about one artifact; `notes` are sentences for the report (first mismatches ...).

    emulated: whether the numbers come from another engine than the one that will serve the artifact. No engine of today
        is measured so.
    differences: where the artifact differs from the source.

    Version 1 has no `differences`; None is right for it: they were not kept.
    """

    SCHEMA: ClassVar[int] = 2

    engine: str
    emulated: bool = False
    metrics: dict[str, Measurement]
    notes: tuple[str, ...] = ()
    differences: Differences | None = None


class Benchmark(Record):
    """All that `benchmark` measured: how, where, and the numbers.

    disturbed: what disturbed the timings, as a clause ("other processes took 0.9 of 2 cores"), or None. The numbers are
        then bounds: undisturbed, the engine is at least as fast.
    notes: sentences for the report: what was not timed, and why.

    Version 1 has neither `disturbed` nor `notes`. None and () are right for it: nobody looked.
    """

    SCHEMA: ClassVar[int] = 2

    engine: str
    threads: int
    hardware: str
    prompt_tokens: int
    generated_tokens: int
    repetitions: int
    metrics: dict[str, Measurement]
    disturbed: str | None = None
    notes: tuple[str, ...] = ()
