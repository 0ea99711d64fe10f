import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tasks.engines.runner import Generation, Runner
from tasks.errors import Unmeasured
from tasks.evaluation import benchmark as module
from tasks.evaluation.benchmark import MOST, Plan, benchmark, peak_memory, time_generation
from tasks.evaluation.measurement import SPEED_METRICS, Benchmark
from tasks.evaluation.parameters import BenchmarkParameters
from tasks.formats.base import Target
from tests.fixtures.context import make_context
from tests.tasks.evaluation.toy import ToyRunner, write_reference

PARAMETERS = BenchmarkParameters(
    target=Target(name="toy-f32", format="toy", quantization="f32"),
    prompt_tokens=8,
    generated_tokens=9,
    repetitions=3,
    seconds=0,
)


class Clockwork(ToyRunner):
    """Needs 0.5 s for the prompt, 0.01 s for each token, and 0.05 s for the last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int, int]] = []

    def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
        self.calls.append((len(token_ids), max_tokens, len(stop_ids)))
        steps = [0.5, *[0.01] * (max_tokens - 2), 0.05]
        return Generation([1] * max_tokens, [float(second) for second in np.cumsum(steps)])


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


def test_speeds_come_from_the_tokens_times() -> None:
    runner = Clockwork()
    metrics = time_generation(runner, Plan(list(range(8)), 9, 3, 0), ignore)
    assert metrics["time_to_first_token_ms"].value == pytest.approx(500)
    assert metrics["prefill_tokens_per_second"].value == pytest.approx(16)
    assert metrics["decode_tokens_per_second"].value == pytest.approx(8 / 0.12)
    assert metrics["inter_token_p50_ms"].value == pytest.approx(10)
    assert metrics["inter_token_p95_ms"].value == pytest.approx(10 + 40 * 0.65)
    assert all(measured.observations == 3 for measured in metrics.values())
    assert all(measured.standard_error == pytest.approx(0) for measured in metrics.values())
    assert runner.calls == [(8, 9, 0)] * 4  # one run fills caches, and no stop id ends one early


def test_a_small_model_is_timed_more_often() -> None:
    runner = Clockwork()
    metrics = time_generation(runner, Plan(list(range(8)), 9, 3, 60), ignore)
    assert metrics["inter_token_p50_ms"].observations == MOST
    assert len(runner.calls) == MOST + 1


def test_an_engine_that_stops_early_is_not_timed() -> None:
    class Stopping(Clockwork):
        def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int] = ()) -> Generation:
            return super().generate(token_ids, max_tokens - 1, stop_ids)

    with pytest.raises(Unmeasured, match="generated 8 of 9 tokens"):
        time_generation(Stopping(), Plan(list(range(8)), 9, 3, 0), ignore)


def test_the_task_writes_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[ToyRunner] = []

    def open_slowly(format_name: str, folder: Path, threads: int) -> Runner:
        time.sleep(0.4 if opened else 0.02)
        opened.append(Clockwork())
        return opened[-1]

    monkeypatch.setattr(module, "open_artifact", open_slowly)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    context = make_context(tmp_path / "work", {"artifact": artifact, "reference": write_reference(tmp_path / "ref")})
    facts = benchmark(PARAMETERS, context)
    written = Benchmark.from_json((context.output / "benchmark.json").read_text())
    assert set(written.metrics) == set(SPEED_METRICS)
    assert (written.prompt_tokens, written.generated_tokens, written.repetitions, written.threads) == (8, 9, 3, 1)
    assert written.hardware
    assert 0.02 <= written.metrics["load_seconds"].value < 0.4
    assert facts["peak_memory_bytes"] > 1e7
    assert len(opened) == 2
    assert all(runner.closed for runner in opened)


def test_a_small_context_shortens_prompt_and_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Clockwork()
    runner.context_length = 10
    monkeypatch.setattr(module, "open_artifact", lambda format_name, folder, threads: runner)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    context = make_context(tmp_path / "work", {"artifact": artifact, "reference": write_reference(tmp_path / "ref")})
    benchmark(PARAMETERS, context)
    assert set(runner.calls) == {(5, 5, 0)}


def test_peak_memory_grows_with_what_is_used() -> None:
    before = peak_memory()
    held = np.ones(before // 8 + 10_000_000)
    assert peak_memory() >= before + held.nbytes // 2
