"""Times how fast an engine generates: one sequence, a given number of threads, and no other work on the host.

A repetition counts only if nothing disturbed it (`tasks.host.disturbance`). Repetitions end when the median is precise
enough, or when the time is up. If too few were quiet, all of them count, and the timing is said to be disturbed: its
numbers are then bounds, because a disturbance makes an engine slower and never faster.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks.engines.runner import Generation, Runner
from tasks.errors import Unmeasured
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import OPTIONAL_SPEED_METRICS, SPEED_METRICS
from tasks.host.proc import memory_fields
from tasks.host.stopwatch import Lap, Stopwatch

MEDIAN_ERROR_FACTOR = 1.2533
"""sqrt(pi / 2): with a normal spread, the standard error of a median is larger than a mean's by this factor."""

MOST = 50
"""The most repetitions. A very small model could be repeated thousands of times within `Workload.seconds`."""

FEWEST = 3
"""The fewest quiet repetitions, however long they take: a median and its error need so many."""

FEWEST_DISTURBED = 2
"""The fewest repetitions where too few are quiet. Beside twenty busy processes each took 50 s in place of 1 s, and what
they give is a bound only."""

PRECISE = 0.02
"""Standard error of the median, by the median, at which repetitions end. Nobody chooses by a difference of 2 %. On a
quiet host the first repetitions are precise enough: those of one engine differed by 0.4 %."""

UNSTEADY = 0.1
"""The same ratio beyond which a timing counts as disturbed, though nothing was seen to disturb it: five times PRECISE,
as much as DISTURBED missed cores would cost."""

LONG_PROMPT = 2048
"""Tokens of the long prompt: some pages, as users give to be summed up. Its metric has the number in its name."""

FEWEST_TOKENS = 16
"""The fewest tokens of a repetition of a slow model, and those of the first run, which is not measured."""


@dataclass(frozen=True)
class Workload:
    """What one repetition generates. It is repeated at least `repetitions` times, if that takes at most `seconds`.

    generated_tokens: halved, down to FEWEST_TOKENS, as long as one repetition would take longer than `seconds`.
    """

    prompt_ids: Sequence[int]
    generated_tokens: int
    repetitions: int
    seconds: float


@dataclass(frozen=True)
class Untimed:
    """Why something was not timed: a sentence for the report. interrupted: whether other work on the host is why."""

    note: str
    interrupted: bool = False


@dataclass(frozen=True)
class Timing:
    """The speed metrics, each the median over `repetitions`, and what disturbed them: a clause, or None.

    generated_tokens: of the shortest repetition.
    """

    metrics: dict[str, Measurement]
    generated_tokens: int
    repetitions: int
    disturbed: str | None


def time_generation(
    runner: Runner, workload: Workload, watch: Stopwatch, progress: Callable[[str, float | None], None]
) -> Timing:
    """Time the workload. A first, shorter run that fills caches is not measured.

    Raises Unmeasured if the engine generates fewer tokens than it was asked for.
    """
    prompt = workload.prompt_ids
    first, _ = watch.time(partial(_generate, runner, prompt, min(FEWEST_TOKENS, workload.generated_tokens)))
    tokens = _tokens_within(workload, first)
    progress("generating", None)
    quiet: list[Generation] = []
    disturbed: list[tuple[Generation, Lap]] = []
    seconds = 0.0
    while not _enough(quiet, len(disturbed), seconds, workload, watch):
        run, lap = watch.time(partial(_generate, runner, prompt, tokens))
        if lap.disturbed:
            disturbed.append((run, lap))
            # A disturbed engine may be a hundred times slower.
            tokens = min(tokens, _tokens_within(workload, run))
        else:
            quiet.append(run)
            seconds += lap.seconds
    counted = quiet if len(quiet) >= FEWEST else quiet + [run for run, _ in disturbed]
    metrics = _metrics(counted, len(prompt))
    return Timing(
        metrics=metrics,
        generated_tokens=min(len(run.seconds) for run in counted),
        repetitions=len(counted),
        disturbed=_typical(disturbed) if len(quiet) < FEWEST else _unsteady(metrics),
    )


def time_long_prompt(
    runner: Runner, prompt_ids: Sequence[int], tokens_per_second: float, seconds: float, watch: Stopwatch
) -> Measurement | Untimed:
    """Return how many tokens of a long prompt the engine reads in a second; or why it is unknown.

    prompt_ids: LONG_PROMPT tokens. tokens_per_second: of a short prompt. seconds: what FEWEST repetitions may take.
    """
    untimed = f"A prompt of {len(prompt_ids)} tokens was not timed"
    expected = FEWEST * len(prompt_ids) / tokens_per_second
    if runner.context_length <= len(prompt_ids):
        return Untimed(f"{untimed}: the context has {runner.context_length} tokens.")
    if expected > seconds:
        return Untimed(f"{untimed}: it would take longer than the {seconds:g} s that a benchmark spends on it.")
    quiet: list[Generation] = []
    while len(quiet) < FEWEST and not watch.gives_up:
        run, lap = watch.time(partial(_generate, runner, prompt_ids, 1))
        if not lap.disturbed:
            quiet.append(run)
    if len(quiet) < FEWEST:
        return Untimed(f"{untimed}: other work on the host disturbed the benchmark.", interrupted=True)
    return median([len(prompt_ids) / run.seconds[0] for run in quiet])


def _enough(quiet: list[Generation], disturbed: int, seconds: float, workload: Workload, watch: Stopwatch) -> bool:
    """Return whether no further repetition is needed: `quiet` ones took `seconds`."""
    together = len(quiet) + disturbed
    if together >= MOST or (not watch.may_wait and together >= (FEWEST_DISTURBED if disturbed else FEWEST)):
        return True
    if len(quiet) >= FEWEST and seconds >= workload.seconds:
        return True
    if len(quiet) < max(FEWEST, workload.repetitions):
        return False
    return all(_ratio(measured) <= PRECISE for measured in _rates(quiet, len(workload.prompt_ids)).values())


def _tokens_within(workload: Workload, first: Generation) -> int:
    """Return how many tokens a repetition generates, so that it takes `Workload.seconds` at most."""
    gap = float(np.median(np.diff(first.seconds)))
    tokens = workload.generated_tokens
    while tokens // 2 >= FEWEST_TOKENS and first.seconds[0] + gap * (tokens - 1) > workload.seconds:
        tokens //= 2
    return tokens


def _rates(runs: list[Generation], prompt_tokens: int) -> dict[str, Measurement]:
    gaps = [np.diff(run.seconds) for run in runs]
    return {
        "prefill_tokens_per_second": median([prompt_tokens / run.seconds[0] for run in runs]),
        "decode_tokens_per_second": median([len(gap) / float(gap.sum()) for gap in gaps]),
    }


def _metrics(runs: list[Generation], prompt_tokens: int) -> dict[str, Measurement]:
    gaps = [np.diff(run.seconds) for run in runs]
    return {
        "time_to_first_token_ms": median([1e3 * run.seconds[0] for run in runs]),
        **_rates(runs, prompt_tokens),
        "inter_token_p50_ms": median([1e3 * float(np.quantile(gap, 0.5)) for gap in gaps]),
        "inter_token_p95_ms": median([1e3 * float(np.quantile(gap, 0.95)) for gap in gaps]),
    }


def _typical(disturbed: list[tuple[Generation, Lap]]) -> str | None:
    """Return what disturbed the repetition that missed a middling share of the cores."""
    laps = sorted((lap for _, lap in disturbed), key=lambda lap: lap.lost.total)
    return laps[len(laps) // 2].disturbed


def _unsteady(metrics: Mapping[str, Measurement]) -> str | None:
    ratio = _ratio(metrics["decode_tokens_per_second"])
    return f"its repetitions differ: the standard error of decode is {ratio:.0%}" if ratio > UNSTEADY else None


def _ratio(measured: Measurement) -> float:
    return (measured.standard_error or 0.0) / measured.value


def peak_memory() -> int:
    """Return the peak resident bytes of this process; raises Unmeasured where the kernel does not show them."""
    peak = memory_fields("self").get("VmHWM")
    if peak is None:
        raise Unmeasured("The peak memory cannot be read from /proc/self/status here; run the benchmark on Linux.")
    return peak


def check_speed_complete(metrics: Mapping[str, Measurement]) -> None:
    """Raise Unmeasured where a number of SPEED_METRICS is missing, unless a benchmark may leave it out."""
    for name, metric in SPEED_METRICS.items():
        if name not in metrics and name not in OPTIONAL_SPEED_METRICS:
            raise Unmeasured(f"{name} ({metric.meaning}) was not measured; run the benchmark again with 'force'.")


def _generate(runner: Runner, prompt_ids: Sequence[int], tokens: int) -> Generation:
    run = runner.generate(prompt_ids, tokens)
    if len(run.seconds) != tokens:
        raise Unmeasured(
            f"The engine generated {len(run.seconds)} of {tokens} tokens though no stop id was "
            "given; check the artifact's runner."
        )
    return run


def median(values: list[float]) -> Measurement:
    """Return the median of at least two numbers with its standard error."""
    error = MEDIAN_ERROR_FACTOR * statistics.stdev(values) / len(values) ** 0.5
    return Measurement(value=statistics.median(values), standard_error=error, observations=len(values))
