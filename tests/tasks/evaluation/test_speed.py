from collections.abc import Collection, Sequence

import numpy as np
import pytest

from tasks.engines.runner import Generation
from tasks.errors import Unmeasured
from tasks.evaluation.speed import MOST, Workload, peak_memory, time_generation
from tests.tasks.evaluation.toy import Clockwork


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


def test_speeds_come_from_the_tokens_times() -> None:
    runner = Clockwork()
    metrics = time_generation(runner, Workload(list(range(8)), 9, 3, 0), ignore)
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
    metrics = time_generation(runner, Workload(list(range(8)), 9, 3, 60), ignore)
    assert metrics["inter_token_p50_ms"].observations == MOST
    assert len(runner.calls) == MOST + 1


def test_an_engine_that_stops_early_is_not_timed() -> None:
    class Stopping(Clockwork):
        def generate(self, token_ids: Sequence[int], max_tokens: int, stop_ids: Collection[int] = ()) -> Generation:
            return super().generate(token_ids, max_tokens - 1, stop_ids)

    with pytest.raises(Unmeasured, match="generated 8 of 9 tokens"):
        time_generation(Stopping(), Workload(list(range(8)), 9, 3, 0), ignore)


def test_peak_memory_grows_with_what_is_used() -> None:
    before = peak_memory()
    held = np.ones(before // 8 + 10_000_000)
    assert peak_memory() >= before + held.nbytes // 2
