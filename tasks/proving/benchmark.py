"""The task `benchmark`: it measures speed, load time and memory of one artifact in the engine that will serve it.

The numbers depend on the hardware and on the number of threads; both are recorded with them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tasks.contract import TaskContext
from tasks.engines.runner import Runner
from tasks.errors import Unsupported
from tasks.evaluation.measurement import Benchmark, Measurement
from tasks.evaluation.speed import Workload, check_speed_complete, peak_memory, time_generation
from tasks.evaluation.uncertainty import rounded
from tasks.proving.opening import open_artifact
from tasks.proving.parameters import BenchmarkParameters


def benchmark(parameters: BenchmarkParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write benchmark.json. Return the engine and the rounded numbers.

    Inputs: artifact; reference, whose first window of tokens is the prompt.
    Raises Unsupported if the model's context is too short.
    """
    folder, reference = context.materialize("artifact"), context.materialize("reference")
    tokens = np.load(reference / "tokens.npy", mmap_mode="r", allow_pickle=False)[0]
    open_runner = partial(open_artifact, parameters.target, folder, context.threads)
    context.progress("loading the artifact", 0.0)
    first_load, runner = _timed(open_runner)
    try:
        workload = _workload(parameters, [int(token) for token in tokens], runner.context_length)
        metrics = time_generation(runner, workload, context.progress)
        engine = runner.engine
        # Read before the second load: a server loads the artifact only once.
        metrics["peak_memory_bytes"] = Measurement(value=float(peak_memory()))
    finally:
        runner.close()
    second_load, runner = _timed(open_runner)
    runner.close()
    metrics["load_seconds"] = Measurement(value=min(first_load, second_load), observations=2)
    check_speed_complete(metrics)
    found = Benchmark(
        engine=engine,
        threads=context.threads,
        hardware=context.hardware,
        prompt_tokens=len(workload.prompt_ids),
        generated_tokens=workload.generated_tokens,
        repetitions=metrics["decode_tokens_per_second"].observations,
        metrics=metrics,
    )
    (context.output / "benchmark.json").write_text(found.to_json(), encoding="utf-8")
    name, _, version = engine.partition(" ")
    context.version(name, version)
    return {"engine": engine, **{metric: rounded(measured.value) for metric, measured in metrics.items()}}


def _workload(parameters: BenchmarkParameters, tokens: Sequence[int], context_length: int) -> Workload:
    """Return the workload, with prompt and generation shortened if the model's context is small."""
    generated = min(parameters.generated_tokens, context_length // 2)
    prompt = tokens[: min(parameters.prompt_tokens, context_length - generated)]
    if generated < 2 or not prompt:
        raise Unsupported(f"A context of {context_length} tokens is too short for a benchmark; choose another model.")
    return Workload(prompt, generated, parameters.repetitions, parameters.seconds)


def _timed(open_runner: Callable[[], Runner]) -> tuple[float, Runner]:
    start = time.perf_counter()
    runner = open_runner()
    return time.perf_counter() - start, runner
