"""The task that times an artifact in its engine: one sequence, the threads it was given, nothing beside it."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contract import TaskContext
from tasks.engines.runner import Generation, Runner
from tasks.errors import Unmeasured, Unsupported
from tasks.evaluation.measurement import SPEED_METRICS, Benchmark, Measurement
from tasks.evaluation.parameters import BenchmarkParameters
from tasks.evaluation.uncertainty import rounded
from tasks.keys import processor
from tasks.proving.opening import open_artifact

MEDIAN_ERROR_FACTOR = 1.2533
"""sqrt(pi / 2): the standard error of a median is that much larger than that of a mean, for a normal spread."""

MOST = 50
"""Repetitions of a model so small that the time alone would allow thousands."""


@dataclass(frozen=True)
class Plan:
    """What is asked of the engine in every repetition; repeated so often, and for so many seconds, at least."""

    prompt_ids: Sequence[int]
    generated_tokens: int
    repetitions: int
    seconds: float


def benchmark(parameters: BenchmarkParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write benchmark.json; inputs: artifact, reference (its first window is the prompt). Returns rounded numbers."""
    folder, reference = context.materialize("artifact"), context.materialize("reference")
    tokens = np.load(reference / "tokens.npy", mmap_mode="r", allow_pickle=False)[0]
    open_runner = partial(open_artifact, parameters.target.format, folder, context.threads)
    context.progress("loading the artifact", 0.0)
    first_load, runner = _timed(open_runner)
    try:
        plan = _plan(parameters, [int(token) for token in tokens], runner.context_length)
        metrics = time_generation(runner, plan, context.progress)
        engine = runner.engine
        # Read before the second load: two loads in one process are no server.
        metrics["peak_memory_bytes"] = Measurement(value=float(peak_memory()))
    finally:
        runner.close()
    second_load, runner = _timed(open_runner)
    runner.close()
    metrics["load_seconds"] = Measurement(value=min(first_load, second_load), observations=2)
    _check_complete(metrics)
    found = Benchmark(
        engine=engine,
        threads=context.threads,
        hardware=processor(),
        prompt_tokens=len(plan.prompt_ids),
        generated_tokens=plan.generated_tokens,
        repetitions=metrics["decode_tokens_per_second"].observations,
        metrics=metrics,
    )
    (context.output / "benchmark.json").write_text(found.to_json(), encoding="utf-8")
    name, _, version = engine.partition(" ")
    context.version(name, version)
    return {"engine": engine, **{metric: rounded(measured.value) for metric, measured in metrics.items()}}


def time_generation(
    runner: Runner, plan: Plan, progress: Callable[[str, float | None], None]
) -> dict[str, Measurement]:
    """Generate again and again, after one unmeasured run that fills caches; a number is the median over all runs."""
    runner.generate(plan.prompt_ids, plan.generated_tokens)
    progress("generating", None)
    runs: list[Generation] = []
    began = time.perf_counter()
    while len(runs) < plan.repetitions or (len(runs) < MOST and time.perf_counter() - began < plan.seconds):
        runs.append(_generate(runner, plan))
    first = [run.seconds[0] for run in runs]
    gaps = [np.diff(run.seconds) for run in runs]
    return {
        "time_to_first_token_ms": _median([1e3 * seconds for seconds in first]),
        "prefill_tokens_per_second": _median([len(plan.prompt_ids) / seconds for seconds in first]),
        "decode_tokens_per_second": _median([len(gap) / float(gap.sum()) for gap in gaps]),
        "inter_token_p50_ms": _median([1e3 * float(np.quantile(gap, 0.5)) for gap in gaps]),
        "inter_token_p95_ms": _median([1e3 * float(np.quantile(gap, 0.95)) for gap in gaps]),
    }


def peak_memory() -> int:
    """Return the peak resident bytes of this process (VmHWM of proc(5)); raises Unmeasured where none is told."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Unmeasured("The peak memory cannot be read from /proc/self/status here; run the benchmark on Linux.")


def _plan(parameters: BenchmarkParameters, tokens: Sequence[int], context_length: int) -> Plan:
    """Shorten prompt and generation to what a small context holds."""
    generated = min(parameters.generated_tokens, context_length // 2)
    prompt = tokens[: min(parameters.prompt_tokens, context_length - generated)]
    if generated < 2 or not prompt:
        raise Unsupported(f"A context of {context_length} tokens is too short to be timed; choose another model.")
    return Plan(prompt, generated, parameters.repetitions, parameters.seconds)


def _generate(runner: Runner, plan: Plan) -> Generation:
    run = runner.generate(plan.prompt_ids, plan.generated_tokens)
    if len(run.seconds) != plan.generated_tokens:
        raise Unmeasured(
            f"The engine generated {len(run.seconds)} of {plan.generated_tokens} tokens though no stop id was given; "
            "check the artifact's runner."
        )
    return run


def _median(values: list[float]) -> Measurement:
    error = MEDIAN_ERROR_FACTOR * statistics.stdev(values) / len(values) ** 0.5
    return Measurement(value=statistics.median(values), standard_error=error, observations=len(values))


def _timed(open_runner: Callable[[], Runner]) -> tuple[float, Runner]:
    start = time.perf_counter()
    runner = open_runner()
    return time.perf_counter() - start, runner


def _check_complete(metrics: Mapping[str, Measurement]) -> None:
    for name, meaning in SPEED_METRICS.items():
        if name not in metrics:
            raise Unmeasured(f"{name} ({meaning}) was not measured; run the benchmark again with 'force'.")
