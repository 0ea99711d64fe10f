import time
from pathlib import Path

import pytest

from tasks.engines.runner import Runner
from tasks.evaluation.measurement import Benchmark
from tasks.evaluation.metrics import SPEED_METRICS
from tasks.formats.base import Target
from tasks.proving import benchmark as module
from tasks.proving.benchmark import benchmark
from tasks.proving.parameters import BenchmarkParameters
from tests.fixtures.context import make_context
from tests.tasks.evaluation.toy import Clockwork, ToyRunner, write_reference

PARAMETERS = BenchmarkParameters(
    target=Target(name="toy-f32", format="toy", scheme="f32", maker="toy", engines=("toy",)),
    prompt_tokens=8,
    generated_tokens=9,
    repetitions=3,
    seconds=0,
)


def test_the_task_writes_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[ToyRunner] = []

    def open_slowly(target: Target, folder: Path, threads: int) -> Runner:
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
    assert written.hardware == context.hardware
    assert 0.02 <= written.metrics["load_seconds"].value < 0.4
    assert facts["peak_memory_bytes"] > 1e7
    assert len(opened) == 2
    assert all(runner.closed for runner in opened)


def test_a_small_context_shortens_prompt_and_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Clockwork()
    runner.context_length = 10
    monkeypatch.setattr(module, "open_artifact", lambda target, folder, threads: runner)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    context = make_context(tmp_path / "work", {"artifact": artifact, "reference": write_reference(tmp_path / "ref")})
    benchmark(PARAMETERS, context)
    assert set(runner.calls) == {(5, 5, 0)}
