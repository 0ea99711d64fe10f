"""A measured number with its uncertainty, and the records of everything that was measured on an artifact."""

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from tasks.model import Model
from tasks.records import Record


class Measurement(Model):
    """A value, its standard error (None where it is a count or an extreme) and how many observations it rests on."""

    value: float
    standard_error: float | None = None
    observations: int = 1


Ended = Literal["clear", "blocked", "end"]
"""Why the comparison of windows ended; see Comparison."""


class Interval(Model):
    """Where a number of the whole text lies, from `low` to `high`; see tasks/evaluation/confidence.py.

    high: None where nothing bounds it from above.
    """

    low: float
    high: float | None


class Comparison(Model):
    """How much of the evaluation text was compared, and what that says of the rest.

    windows: compared, of the `available` ones of the reference.
    ended: why it ended. "clear": every bound on the windows is kept. "blocked": a bound is broken, of these or of
        another metric. "end": all windows were compared, and some bound is open, or nothing was to be decided.
    intervals: by metric; see ERROR of tasks/evaluation/parameters.py. Empty where the recipe compares all windows.
    """

    windows: int
    available: int
    ended: Ended
    intervals: dict[str, Interval] = {}


class Differences(Model):
    """Where one artifact differs from the source, token by token and text by text.

    nll: negative log-likelihood minus the source's, in nats, of the first predicted tokens that were compared, in the
        order of the comparison. Of two artifacts, one may have more.
    cuts: for each parity text that the artifact's tokenizer cuts otherwise than the source's, by the text's name: the
        SHA-256 of the artifact's ids.
    """

    nll: tuple[float, ...]
    cuts: dict[str, str]


class Evaluation(Record):
    """All that `evaluate` found out about one artifact; `notes` are sentences for the report (first mismatches ...).

    comparison: how much text was compared.
    differences: where the artifact differs from the source.

    Version 1 has no `differences`; None is right for it: they were not kept. Versions 1 and 2 have no `comparison`: all
    windows were compared, and how many there were was not kept.
    """

    SCHEMA: ClassVar[int] = 4

    engine: str
    metrics: dict[str, Measurement]
    notes: tuple[str, ...] = ()
    comparison: Comparison | None = None
    differences: Differences | None = None

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:  # noqa: ARG003  # the same for all
        """Versions 1 to 3 said whether another engine than the serving one was measured, which never was the case."""
        return {name: value for name, value in fields.items() if name != "emulated"}


WINDOWS_FILE = "windows.json"
"""The file beside an evaluation that holds its WindowDivergences. Another artifact is compared by the same windows."""


class WindowDivergences(Record):
    """The mean divergence of each compared window, in the order of the comparison.

    windows: numbers of the reference's windows, from 0.
    kld: in nats.
    """

    windows: tuple[int, ...]
    kld: tuple[float, ...]

    @model_validator(mode="after")
    def _one_for_each(self) -> "WindowDivergences":
        if len(self.windows) != len(self.kld) or not self.windows:
            raise ValueError(f"{len(self.windows)} windows have {len(self.kld)} divergences")
        return self


class Benchmark(Record):
    """All that `benchmark` measured: how, where, and the numbers.

    disturbed: what disturbed the timings, as a clause ("other processes took 0.9 of 2 cores"), or None. The numbers are
        then bounds: undisturbed, the engine is at least as fast.
    notes: sentences for the report: how the best batch was found, and what was not timed, and why.

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
