"""The task `benchmark`: it measures speed, load time and memory of one artifact in the engine that will serve it.

The numbers depend on the hardware and on the number of threads; both are recorded with them. If something else on the
host disturbed them, the record says what, and another run does not reuse them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tasks.contract import PROVISIONAL, TaskContext
from tasks.errors import Unsupported
from tasks.evaluation.batches import PROMPT_TOKENS, SIZES, time_batches
from tasks.evaluation.measurement import Benchmark, Measurement
from tasks.evaluation.metrics import BATCH_METRICS, CAUSES, INTERRUPTED, LONG_PROMPT_METRIC
from tasks.evaluation.speed import (
    LONG_PROMPT,
    Untimed,
    Workload,
    check_speed_complete,
    peak_memory,
    time_generation,
    time_long_prompt,
)
from tasks.evaluation.uncertainty import rounded
from tasks.host.facts import host_facts
from tasks.host.stopwatch import Stopwatch
from tasks.proving.opening import check_artifact
from tasks.proving.parameters import BenchmarkParameters


def benchmark(parameters: BenchmarkParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write benchmark.json. Return the engine and the rounded numbers; if they were disturbed, also by what.

    The fact INTERRUPTED lists the metrics that other work on the host left without a number, or with one of fewer
    batches. The fact CAUSES says why each missing number is missing.

    Inputs: artifact; reference, whose tokens are the prompts.
    Raises Unsupported if the model's context is too short.
    """
    folder, reference = context.materialize("artifact"), context.materialize("reference")
    windows = np.load(reference / "tokens.npy", mmap_mode="r", allow_pickle=False)
    host = host_facts()
    watch = Stopwatch(
        context.threads,
        host.timing_wait_seconds,
        partial(context.progress, "waiting for a quiet host: other processes run"),
    )
    # The check is not timed: no server runs it.
    load_artifact = check_artifact(parameters.target, folder, context.threads)
    context.progress("loading the artifact", 0.0)
    runner, first_load = watch.time(load_artifact)
    try:
        workload = _workload(parameters, windows[0].tolist(), runner.context_length)
        timing = time_generation(runner, workload, watch, context.progress)
        engine = runner.engine
        # Read before the long prompt, the batches and the second load, which a server may never have.
        peak = Measurement(value=float(peak_memory()))
        rate = timing.metrics["prefill_tokens_per_second"].value
        prompt = np.resize(windows, LONG_PROMPT).tolist()
        long_prompt = time_long_prompt(runner, prompt, rate, parameters.seconds, watch)
        prompts = np.resize(windows, (SIZES[-1], PROMPT_TOKENS)).astype(np.int64)
        batches = time_batches(runner, prompts, timing.metrics, parameters.latency_ms, host.memory_bytes, watch)
    finally:
        runner.close()
    runner, second_load = watch.time(load_artifact)
    runner.close()
    if watch.cost:
        context.progress(
            f"other work on the host cost this benchmark {watch.cost:.1f} s: in waits and disturbed timings"
        )
    loads = [first_load, second_load]
    load = min([lap for lap in loads if not lap.disturbed] or loads, key=lambda lap: lap.seconds)
    metrics = {
        **timing.metrics,
        **batches.metrics,
        "peak_memory_bytes": peak,
        "load_seconds": Measurement(value=load.seconds, observations=len(loads)),
    }
    notes = batches.notes
    causes = {} if batches.metrics else dict.fromkeys(sorted(BATCH_METRICS), _cause(notes[0]))
    interrupted = sorted(BATCH_METRICS) if batches.interrupted else []
    if isinstance(long_prompt, Untimed):
        notes = (long_prompt.note, *notes)
        causes[LONG_PROMPT_METRIC] = _cause(long_prompt.note)
        interrupted += [LONG_PROMPT_METRIC] if long_prompt.interrupted else []
    else:
        metrics[LONG_PROMPT_METRIC] = long_prompt
    check_speed_complete(metrics)
    disturbed = timing.disturbed or load.disturbed
    found = Benchmark(
        engine=engine,
        threads=context.threads,
        hardware=context.hardware,
        prompt_tokens=len(workload.prompt_ids),
        generated_tokens=timing.generated_tokens,
        repetitions=timing.repetitions,
        metrics=metrics,
        disturbed=disturbed,
        notes=notes,
    )
    (context.output / "benchmark.json").write_text(found.to_json(), encoding="utf-8")
    name, _, version = engine.partition(" ")
    context.version(name, version)
    facts: dict[str, Any] = {"engine": engine, CAUSES: causes}
    facts |= {metric: rounded(measured.value) for metric, measured in metrics.items()}
    if interrupted:
        facts |= {INTERRUPTED: interrupted, PROVISIONAL: f"other work on the host interrupted {', '.join(interrupted)}"}
    if disturbed:
        facts |= {PROVISIONAL: f"the timing was disturbed ({disturbed})"}
    return facts


def _cause(note: str) -> str:
    """Return the clause of a note `WHAT was not timed: WHY.` that says why."""
    return note.partition(": ")[2].removesuffix(".")


def _workload(parameters: BenchmarkParameters, tokens: Sequence[int], context_length: int) -> Workload:
    """Return the workload, with prompt and generation shortened if the model's context is small."""
    generated = min(parameters.generated_tokens, context_length // 2)
    prompt = tokens[: min(parameters.prompt_tokens, context_length - generated)]
    if generated < 2 or not prompt:
        raise Unsupported(f"A context of {context_length} tokens is too short for a benchmark; choose another model.")
    return Workload(prompt, generated, parameters.repetitions, parameters.seconds)
