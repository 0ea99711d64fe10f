"""Times how fast an engine generates: one sequence, a given number of threads, and no other work on the host."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.engines.runner import Generation, Runner
from tasks.errors import Unmeasured
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import SPEED_METRICS
from tasks.host.proc import memory_fields

MEDIAN_ERROR_FACTOR = 1.2533
"""sqrt(pi / 2): with a normal spread, the standard error of a median is larger than a mean's by this factor."""

MOST = 50
"""The most repetitions. A very small model could be repeated thousands of times within `Workload.seconds`."""


@dataclass(frozen=True)
class Workload:
    """What one repetition generates. It is repeated at least `repetitions` times, and for at least `seconds`."""

    prompt_ids: Sequence[int]
    generated_tokens: int
    repetitions: int
    seconds: float


def time_generation(
    runner: Runner, workload: Workload, progress: Callable[[str, float | None], None]
) -> dict[str, Measurement]:
    """Return the speed metrics, each the median over all runs. A first run that fills caches is not measured."""
    runner.generate(workload.prompt_ids, workload.generated_tokens)
    progress("generating", None)
    runs: list[Generation] = []
    began = time.perf_counter()
    while len(runs) < workload.repetitions or (len(runs) < MOST and time.perf_counter() - began < workload.seconds):
        runs.append(_generate(runner, workload))
    first = [run.seconds[0] for run in runs]
    gaps = [np.diff(run.seconds) for run in runs]
    return {
        "time_to_first_token_ms": _median([1e3 * seconds for seconds in first]),
        "prefill_tokens_per_second": _median([len(workload.prompt_ids) / seconds for seconds in first]),
        "decode_tokens_per_second": _median([len(gap) / float(gap.sum()) for gap in gaps]),
        "inter_token_p50_ms": _median([1e3 * float(np.quantile(gap, 0.5)) for gap in gaps]),
        "inter_token_p95_ms": _median([1e3 * float(np.quantile(gap, 0.95)) for gap in gaps]),
    }


def peak_memory() -> int:
    """Return the peak resident bytes of this process; raises Unmeasured where the kernel does not show them."""
    peak = memory_fields("self").get("VmHWM")
    if peak is None:
        raise Unmeasured("The peak memory cannot be read from /proc/self/status here; run the benchmark on Linux.")
    return peak


def check_speed_complete(metrics: Mapping[str, Measurement]) -> None:
    """Raise Unmeasured where a number of SPEED_METRICS is missing."""
    for name, metric in SPEED_METRICS.items():
        if name not in metrics:
            raise Unmeasured(f"{name} ({metric.meaning}) was not measured; run the benchmark again with 'force'.")


def _generate(runner: Runner, workload: Workload) -> Generation:
    run = runner.generate(workload.prompt_ids, workload.generated_tokens)
    if len(run.seconds) != workload.generated_tokens:
        raise Unmeasured(
            f"The engine generated {len(run.seconds)} of {workload.generated_tokens} tokens though no stop id was "
            "given; check the artifact's runner."
        )
    return run


def _median(values: list[float]) -> Measurement:
    error = MEDIAN_ERROR_FACTOR * statistics.stdev(values) / len(values) ** 0.5
    return Measurement(value=statistics.median(values), standard_error=error, observations=len(values))
