from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contract import PROVISIONAL
from tasks.engines.batch import GreedyBatch
from tasks.engines.runner import Runner
from tasks.errors import Unmeasured, Unsupported
from tasks.evaluation.measurement import Benchmark
from tasks.evaluation.metrics import BATCH_METRICS, OPTIONAL_SPEED_METRICS, SPEED_METRICS
from tasks.evaluation.speed import Timing, time_generation
from tasks.formats.base import Target
from tasks.host.stopwatch import Stopwatch
from tasks.proving import benchmark as module
from tasks.proving.benchmark import benchmark
from tasks.proving.parameters import BenchmarkParameters
from tests.fixtures.context import make_context
from tests.fixtures.hosts import CORES, FakeHost
from tests.tasks.evaluation.toy import Clockwork, write_reference

PARAMETERS = BenchmarkParameters(
    target=Target(name="toy-f32", format="toy", scheme="f32", maker="toy", engines=("toy",)),
    prompt_tokens=8,
    generated_tokens=9,
    repetitions=3,
    seconds=0,
)


NO_BATCHES = "Batches of 2 sequences and more were not timed: toy 1.0 decodes one sequence at a time here."
LOADS = [2.0, 1.5]
"""Seconds of the two loads."""


class Bench:
    """The task on a test's host, with an engine that needs LOADS to open."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost) -> None:
        self.host, self.opened = host, list[Clockwork]()
        monkeypatch.setattr(module, "check_artifact", self._check)
        monkeypatch.setattr(module, "Stopwatch", partial(Stopwatch, read=host.read, sleep=host.sleep))
        (tmp_path / "artifact").mkdir()
        folders = {"artifact": tmp_path / "artifact", "reference": write_reference(tmp_path / "reference")}
        self.context = make_context(tmp_path / "work", folders)
        self.context.threads = CORES
        self.context_length = 512
        self.check_seconds = 0.0

    def _check(self, target: Target, folder: Path, threads: int) -> Callable[[], Runner]:
        self.host.work(self.check_seconds)
        return self._load

    def _load(self) -> Runner:
        self.host.work(LOADS[len(self.opened)])
        self.opened.append(Clockwork(self.host))
        self.opened[-1].context_length = self.context_length
        return self.opened[-1]

    @property
    def written(self) -> Benchmark:
        return Benchmark.from_json((self.context.output / "benchmark.json").read_text())


def test_the_task_writes_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    facts = benchmark(PARAMETERS, bench.context)
    written = bench.written
    assert set(written.metrics) == set(SPEED_METRICS) - OPTIONAL_SPEED_METRICS
    assert written.notes == ("A prompt of 2048 tokens was not timed: the context has 512 tokens.", NO_BATCHES)
    assert (written.prompt_tokens, written.generated_tokens, written.repetitions, written.threads) == (8, 9, 3, 2)
    assert written.hardware == bench.context.hardware
    assert written.metrics["load_seconds"].value == 1.5
    assert facts["peak_memory_bytes"] > 1e7
    assert written.disturbed is None and PROVISIONAL not in facts
    assert len(bench.opened) == 2
    assert all(runner.closed for runner in bench.opened)


def test_the_check_of_the_artifact_is_no_part_of_its_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    bench.check_seconds = 8.0
    benchmark(PARAMETERS, bench.context)
    assert bench.written.metrics["load_seconds"].value == 1.5
    assert len(bench.opened) == 2 and bench.host.clock < 2 * 8.0


def test_a_long_prompt_is_timed_where_there_is_room_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    bench.context_length = 4096
    # 8 tokens take 0.5 s, so three times 2048 would take 384 s if the toy were slower for longer prompts.
    benchmark(PARAMETERS.model_copy(update={"seconds": 400.0}), bench.context)
    assert bench.written.metrics["prefill_2048_tokens_per_second"].value == 4096
    assert bench.opened[0].calls[-3:] == [(2048, 1, 0)] * 3 and bench.written.notes == (NO_BATCHES,)


def test_batches_are_timed_with_texts_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    monkeypatch.setattr(Clockwork, "step_seconds", lambda self, size: 0.01 if size <= 4 else 1.0)
    seen: list[NDArray[np.int64]] = []
    together = Clockwork.together

    def watched(runner: Clockwork, prompts: NDArray[np.int64], max_tokens: int) -> GreedyBatch:
        seen.append(prompts)
        return together(runner, prompts, max_tokens)

    monkeypatch.setattr(Clockwork, "together", watched)
    facts = benchmark(PARAMETERS, bench.context)
    assert set(bench.written.metrics) == set(SPEED_METRICS) - {"prefill_2048_tokens_per_second"}
    assert bench.written.metrics["batch_size"].value == facts["batch_size"] == 4
    assert [prompts.shape for prompts in seen] == [(2, 16), (4, 16), (8, 16)]
    windows = np.load(bench.context.materialize("reference") / "tokens.npy")
    assert seen[2].ravel().tolist() == windows.ravel()[:128].tolist()
    assert all(batch.closed for batch in bench.opened[0].batches)
    slow = PARAMETERS.model_copy(update={"latency_ms": 10.0})
    bench.opened.clear()
    causes = benchmark(slow, bench.context)["causes"]
    assert causes["batch_size"] == "one sequence alone takes 36 ms for a token, which is beyond 10 ms"
    assert causes["prefill_2048_tokens_per_second"] == f"the context has {bench.context_length} tokens"
    assert set(causes) == OPTIONAL_SPEED_METRICS
    assert bench.written.notes[1].startswith("Batches were not timed: one sequence alone takes 36 ms")


def test_a_small_context_shortens_prompt_and_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    bench.context_length = 10
    benchmark(PARAMETERS, bench.context)
    assert set(bench.opened[0].calls) == {(5, 5, 0)}


def test_a_disturbed_timing_is_said_to_be_and_is_provisional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost(lambda clock: 0.9))
    facts = benchmark(PARAMETERS, bench.context)
    assert bench.written.disturbed == "other processes took 0.9 of 2 cores"
    assert facts[PROVISIONAL] == "the timing was disturbed (other processes took 0.9 of 2 cores)"
    assert set(bench.written.metrics) == set(SPEED_METRICS) - OPTIONAL_SPEED_METRICS
    assert any("waiting for a quiet host" in message for message in bench.context.messages)
    assert any("other work on the host cost this benchmark" in message for message in bench.context.messages)


@pytest.mark.parametrize(
    ("quiet_seconds", "interrupted"),
    [(5.2, {"prefill_2048_tokens_per_second"} | BATCH_METRICS), (6.6, BATCH_METRICS), (1e9, set())],
)
def test_what_other_work_interrupts_is_said_and_is_provisional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_seconds: float, interrupted: set[str]
) -> None:
    """The host becomes busy for ever while the long prompt is timed, or the batches."""
    monkeypatch.setattr(Clockwork, "step_seconds", lambda self, size: 0.01)
    bench = Bench(tmp_path, monkeypatch, FakeHost(lambda clock: 0.9 if clock > quiet_seconds else 0.0))
    bench.context_length = 4096
    facts = benchmark(PARAMETERS.model_copy(update={"seconds": 400.0}), bench.context)
    assert set(facts.get("interrupted", ())) == interrupted
    assert (PROVISIONAL in facts) == bool(interrupted)


@pytest.mark.parametrize(
    ("busy", "load", "disturbed"),
    [
        ([(0.4, 0.6)], 1.5, None),
        ([(4.6, 9.0)], 2.0, None),
        ([(0.4, 0.6), (5.4, 9.0)], 1.5, "other processes took 0.5 of 2 cores"),
    ],
)
def test_a_load_that_was_disturbed_does_not_count_beside_one_that_was_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    busy: list[tuple[float, float]],
    load: float,
    disturbed: str | None,
) -> None:
    """After a look of 0.5 s the first load takes 2 s. Four generations take 0.62 s each; then comes the second load.

    After a disturbed load there is another look.
    """
    host = FakeHost(lambda clock: 0.5 if any(start < clock < end for start, end in busy) else 0.0)
    bench = Bench(tmp_path, monkeypatch, host)
    benchmark(PARAMETERS, bench.context)
    assert bench.written.metrics["load_seconds"].value == load
    assert bench.written.disturbed == disturbed


@pytest.mark.parametrize("context_length", [1, 3])
def test_a_context_without_room_for_two_tokens_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context_length: int
) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    bench.context_length = context_length
    with pytest.raises(Unsupported, match=f"context of {context_length} tokens is too short for a benchmark; choose"):
        benchmark(PARAMETERS, bench.context)
    assert all(runner.closed for runner in bench.opened)


def test_a_context_with_room_for_two_tokens_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())
    bench.context_length = 4
    benchmark(PARAMETERS, bench.context)
    assert (bench.written.prompt_tokens, bench.written.generated_tokens) == (2, 2)


def test_a_benchmark_that_lacks_a_number_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, FakeHost())

    def without_a_number(*given: Any) -> Timing:
        found = time_generation(*given)
        del found.metrics["inter_token_p50_ms"]
        return found

    monkeypatch.setattr(module, "time_generation", without_a_number)
    with pytest.raises(Unmeasured, match="^inter_token_p50_ms .* was not measured"):
        benchmark(PARAMETERS, bench.context)
    assert not (bench.context.output / "benchmark.json").exists()
