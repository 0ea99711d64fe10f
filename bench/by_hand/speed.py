"""python -m bench.by_hand.speed TARGET ARTIFACT SOURCE OUTPUT THREADS: how fast an artifact loads and generates."""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.by_hand.engines import open_model

PROMPT, GENERATED, REPETITIONS, SECONDS = 128, 32, 3, 2.0
"""The prompt, the generation and the fewest repetitions of the release's own benchmark. That one also repeats until its
median is precise, and waits for a quiet host, which a script by hand does not do."""


def main(target: str, artifact: Path, source: Path, output: Path, threads: int) -> None:
    """Write one JSON file of numbers."""
    prompt = [int(token) for token in np.load(source / "tokens.npy")[0][:PROMPT]]
    began = time.perf_counter()
    model = open_model(target, artifact, threads)
    load = time.perf_counter() - began
    list(model.generate(prompt, GENERATED))
    firsts: list[float] = []
    gaps: list[NDArray[np.float64]] = []
    started = time.perf_counter()
    while len(firsts) < REPETITIONS or time.perf_counter() - started < SECONDS:
        began = time.perf_counter()
        seconds = [time.perf_counter() - began for _ in model.generate(prompt, GENERATED)]
        firsts.append(seconds[0])
        gaps.append(np.diff(seconds))
    numbers = {
        "time_to_first_token_ms": 1e3 * statistics.median(firsts),
        "decode_tokens_per_second": statistics.median(len(gap) / gap.sum() for gap in gaps),
        "inter_token_p50_ms": 1e3 * statistics.median(float(np.quantile(gap, 0.5)) for gap in gaps),
        "inter_token_p95_ms": 1e3 * statistics.median(float(np.quantile(gap, 0.95)) for gap in gaps),
    }
    model.engine.close()
    del model
    began = time.perf_counter()
    open_model(target, artifact, threads)
    numbers["load_seconds"] = min(load, time.perf_counter() - began)
    output.write_text(json.dumps(numbers))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
