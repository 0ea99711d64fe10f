"""Times how fast an engine decodes several sequences together, and finds the best batch under a bound on latency.

Batches double, from 2 on, until one does not generate clearly more tokens a second, or breaks the bound. All sequences
of a batch have prompts of the same length and different texts. Each repetition continues where the one before ended.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tasks.engines.runner import Runner
from tasks.errors import Unsupported
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.speed import FEWEST, median, peak_memory
from tasks.host.shortage import megabytes
from tasks.host.stopwatch import Stopwatch

SIZES = (2, 4, 8, 16)
"""Sequences of the batches. A batch of one is the benchmark's own timing."""

PROMPT_TOKENS = 16
"""Tokens of each prompt. With the 128 of a single sequence, reading the prompts would take longer than all the rest."""

STEPS = 8
"""Tokens that a repetition adds to each sequence. On a model of 135 million parameters, three repetitions gave a
standard error of 1 to 2 %, and all SIZES together took 4 to 8 seconds of one core."""

LAPS = 8
"""The most repetitions of a batch, disturbed ones included. The memory of the batch has room for so many."""

GAIN = 1.05
"""How many times the tokens a second a batch must give of what half of it gives. Below that, it costs latency only."""


@dataclass(frozen=True)
class Batches:
    """The metrics of the best batch, and sentences for the report: how it was found, and what was not timed.

    Without metrics, no batch was timed. interrupted: whether other work on the host ended the search.
    """

    metrics: Mapping[str, Measurement]
    notes: tuple[str, ...]
    interrupted: bool = False


@dataclass(frozen=True)
class _Speed:
    """Tokens a second of all sequences together, and the 95th percentile of milliseconds between two tokens of one."""

    rate: Measurement
    p95: Measurement

    def metrics(self, size: int) -> Mapping[str, Measurement]:
        return {
            "batch_decode_tokens_per_second": self.rate,
            "batch_inter_token_p95_ms": self.p95,
            "batch_size": Measurement(value=float(size)),
        }


class _NotTimed(Exception):
    """Raised where a batch cannot be timed, with the reason as a clause."""


class _Interrupted(_NotTimed):
    """Raised where other work on the host is the reason."""


def time_batches(
    runner: Runner,
    prompts: NDArray[np.int64],
    alone: Mapping[str, Measurement],
    latency_ms: float,
    memory_bytes: int,
    watch: Stopwatch,
    peak: Callable[[], int] = peak_memory,
) -> Batches:
    """Return the numbers of the batch with the most tokens a second whose p95 between tokens is at most `latency_ms`.

    prompts: [sequences, PROMPT_TOKENS], one for each sequence of the largest batch.
    alone: the metrics of one sequence. It is the best batch if none is better.
    memory_bytes: what this process may use. A batch that would need more is not timed.
    peak: returns the peak memory of this process.
    """
    best, best_size = _Speed(alone["decode_tokens_per_second"], alone["inter_token_p95_ms"]), 1
    if best.p95.value > latency_ms:
        said = f"one sequence alone takes {best.p95.value:.0f} ms for a token, which is beyond {latency_ms:g} ms"
        return Batches({}, (f"Batches were not timed: {said}.",))
    how = (
        f"The best batch is the one of 1, {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]} sequences that gives the "
        f"most tokens a second with an inter-token p95 of at most {latency_ms:g} ms; several sequences have prompts of "
        f"{PROMPT_TOKENS} tokens."
    )
    before = peak()
    for size in SIZES:
        try:
            # A batch of twice the size needs twice the memory.
            _check_memory(before + 2 * (peak() - before), memory_bytes)
            found = _time(runner, prompts[:size], latency_ms, watch)
        except _NotTimed as error:
            untimed = f"Batches of {size} sequences and more were not timed: {error}."
            interrupted = isinstance(error, _Interrupted)
            if best_size == 1:
                return Batches({}, (untimed,), interrupted)
            return Batches(best.metrics(best_size), (how, untimed), interrupted)
        if found is None or found.p95.value > latency_ms or found.rate.value < GAIN * best.rate.value:
            break
        best, best_size = found, size
    return Batches(best.metrics(best_size), (how,))


def _check_memory(needed: int, memory_bytes: int) -> None:
    """Raise _NotTimed where a process would need more memory than it may use."""
    if needed > memory_bytes:
        raise _NotTimed(f"they need {megabytes(needed)} of memory, and the host has {megabytes(memory_bytes)}")


def _time(runner: Runner, prompts: NDArray[np.int64], latency_ms: float, watch: Stopwatch) -> _Speed | None:
    """Return how fast a batch is; None as soon as it is clear that it breaks the bound. Raises _NotTimed."""
    tokens = 1 + LAPS * STEPS
    if runner.context_length < PROMPT_TOKENS + tokens:
        raise _NotTimed(f"the context has {runner.context_length} tokens")
    quiet: list[NDArray[np.float64]] = []
    try:
        batch, _ = watch.time(partial(runner.together, prompts, tokens))
        with closing(batch):
            # The first step fills caches.
            batch.generate(1)
            for _ in range(LAPS):
                if len(quiet) == FEWEST or watch.gives_up:
                    break
                steps, lap = watch.time(partial(batch.generate, STEPS))
                if not lap.disturbed:
                    quiet.append(1e3 * np.array(steps.seconds))
                    if np.median(quiet[-1]) > latency_ms:
                        return None
    except (Unsupported, MemoryError) as error:
        raise _NotTimed(str(error).rstrip(".")) from error
    if len(quiet) < FEWEST:
        raise _Interrupted("other work on the host disturbed the benchmark")
    return _Speed(
        rate=median([1e3 * len(prompts) * len(lap) / float(lap.sum()) for lap in quiet]),
        p95=median([float(np.quantile(lap, 0.95)) for lap in quiet]),
    )
