"""The best batch is found on a clock of a test: its speed, its bound, its memory, and what disturbs it."""

from collections.abc import Callable, Mapping
from itertools import chain

import numpy as np
import pytest

from tasks.engines.batch import Steps
from tasks.errors import Unsupported
from tasks.evaluation.batches import LAPS, PROMPT_TOKENS, SIZES, STEPS, Batches, time_batches
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import BATCH_METRICS
from tasks.host.stopwatch import Stopwatch
from tests.fixtures.hosts import FakeHost
from tests.tasks.evaluation.toy import Clockwork, ClockworkBatch

PROMPTS = np.ones((SIZES[-1], PROMPT_TOKENS), np.int64)
ALONE = {
    "decode_tokens_per_second": Measurement(value=50.0, standard_error=0.5, observations=5),
    "inter_token_p95_ms": Measurement(value=21.0, standard_error=0.1, observations=5),
}
GB = 10**9
HOW = (
    "The best batch is the one of 1, 2, 4, 8 or 16 sequences that gives the most tokens a second with an inter-token "
    "p95 of at most 100 ms; several sequences have prompts of 16 tokens."
)


def batches(
    runner: Clockwork,
    latency_ms: float = 100.0,
    alone: Mapping[str, Measurement] = ALONE,
    peak: Callable[[], int] = lambda: GB,
) -> Batches:
    return time_batches(runner, PROMPTS, alone, latency_ms, 8 * GB, runner.host.stopwatch(), peak)


def clockwork(step_seconds: Callable[[int], float], host: FakeHost | None = None) -> Clockwork:
    runner = Clockwork(host)
    runner.step_seconds = step_seconds
    return runner


def size_of(found: Batches) -> float:
    assert set(found.metrics) == BATCH_METRICS
    return found.metrics["batch_size"].value


def timed(runner: Clockwork) -> list[int]:
    assert all(batch.closed for batch in runner.batches)
    return [batch.sequences for batch in runner.batches]


def test_the_largest_batch_is_the_best_if_each_gives_more() -> None:
    runner = clockwork(lambda size: 0.02 + 0.001 * size)
    found = batches(runner)
    assert size_of(found) == 16 and found.notes == (HOW,)
    rate, p95 = found.metrics["batch_decode_tokens_per_second"], found.metrics["batch_inter_token_p95_ms"]
    # Seven steps of 36 ms and one of 39.6 ms.
    assert rate.value == pytest.approx(16 * 8 / (7.1 * 0.036 + 0.036))
    assert p95.value == pytest.approx(36 + 0.65 * 3.6)
    assert (rate.observations, p95.observations) == (3, 3) and rate.standard_error == pytest.approx(0)
    assert timed(runner) == [2, 4, 8, 16]
    assert runner.batches[0].laps == [1, STEPS, STEPS, STEPS]


def test_a_batch_that_gives_no_more_ends_it() -> None:
    """From 4 sequences on, a step takes as much longer as there are more of them."""
    runner = clockwork(lambda size: 0.005 * max(size, 4))
    assert size_of(batches(runner)) == 4
    assert timed(runner) == [2, 4, 8]


def test_a_batch_that_gives_hardly_more_is_not_better() -> None:
    assert size_of(batches(clockwork(lambda size: 0.005 * max(size, 4) * (0.96 if size > 4 else 1)))) == 4
    assert size_of(batches(clockwork(lambda size: 0.005 * max(size, 4) * (0.90 if size == 8 else 1)))) == 8


@pytest.mark.parametrize(("latency_ms", "size", "laps"), [(54.0, 8, 3), (51.0, 4, 3), (49.9, 4, 1)])
def test_a_batch_beyond_the_bound_ends_it(latency_ms: float, size: int, laps: int) -> None:
    """A step of 8 sequences takes 50 ms, with a p95 of 53.25 ms. One repetition with a median beyond it is enough."""
    runner = clockwork(lambda size: 0.05 if size == 8 else 1.0 if size > 8 else 0.03)
    assert size_of(batches(runner, latency_ms)) == size
    assert runner.batches[2].laps == [1, *[STEPS] * laps]
    assert timed(runner) == [2, 4, 8, 16][: 4 if size == 8 else 3]


def test_one_sequence_is_the_best_batch_if_two_give_no_more() -> None:
    found = batches(clockwork(lambda size: 0.02 * size))
    assert size_of(found) == 1
    assert found.metrics["batch_decode_tokens_per_second"] == ALONE["decode_tokens_per_second"]
    assert found.metrics["batch_inter_token_p95_ms"] == ALONE["inter_token_p95_ms"]


def test_nothing_is_timed_if_one_sequence_breaks_the_bound() -> None:
    runner = clockwork(lambda size: 0.02)
    said = "Batches were not timed: one sequence alone takes 21 ms for a token, which is beyond 20 ms."
    assert batches(runner, latency_ms=20.0) == Batches({}, (said,))
    assert runner.batches == []
    assert size_of(batches(clockwork(lambda size: 0.02), latency_ms=21.0)) == 1


def test_an_engine_without_batches_says_so() -> None:
    said = "Batches of 2 sequences and more were not timed: toy 1.0 decodes one sequence at a time here."
    assert batches(Clockwork()) == Batches({}, (said,))


def test_a_short_context_is_reported() -> None:
    runner = clockwork(lambda size: 0.02)
    runner.context_length = PROMPT_TOKENS + LAPS * STEPS
    found = batches(runner)
    assert found == Batches({}, ("Batches of 2 sequences and more were not timed: the context has 80 tokens.",))
    runner.context_length += 1
    assert size_of(batches(runner)) == 16


@pytest.mark.parametrize(("grown", "size"), [(0.875, 16), (1.0, 8), (2.0, 4)])
def test_a_batch_that_does_not_fit_into_memory_is_not_timed(grown: float, size: int) -> None:
    """The process has 1 GB before, `grown` GB more with two sequences, and 8 GB at most. The next needs 8 or 9 GB."""
    peaks = chain([GB, GB], (GB + int(grown * GB) * 2**place for place in range(3)))
    found = batches(clockwork(lambda size: 0.02), peak=lambda: next(peaks))
    assert size_of(found) == size
    why = "they need 9.00 GB of memory, and the host has 8.00 GB"
    untimed = f"Batches of {2 * size} sequences and more were not timed: {why}."
    assert found.notes == ((HOW,) if size == 16 else (HOW, untimed))


def test_an_engine_that_gets_no_memory_keeps_the_smaller_batch() -> None:
    class Short(Clockwork):
        def together(self, prompts, max_tokens):  # type: ignore[no-untyped-def]
            if len(prompts) == 8:
                raise MemoryError("cannot make a context.")
            return super().together(prompts, max_tokens)

    runner = Short()
    runner.step_seconds = lambda size: 0.02
    found = batches(runner)
    assert size_of(found) == 4
    assert found.notes == (HOW, "Batches of 8 sequences and more were not timed: cannot make a context.")


def test_disturbed_repetitions_do_not_count() -> None:
    runner = clockwork(lambda size: 0.02, FakeHost(lambda clock: 1.0 if 0.7 < clock < 0.9 else 0.0))
    found = batches(runner)
    assert size_of(found) == 16 and found.notes == (HOW,)
    assert [len(batch.laps) for batch in runner.batches] == [5, 4, 4, 4]


def test_a_batch_has_room_for_its_repetitions_however_many_are_disturbed() -> None:
    """The host is busy whenever the batch runs, and quiet whenever it is looked at."""
    runner = clockwork(lambda size: 0.1, FakeHost(lambda clock: 1.0 if clock > 1.5 else 0.0))
    runner.host.sleep = lambda seconds: None  # type: ignore[method-assign]
    found = batches(runner, latency_ms=1000.0)
    assert "other work on the host" in found.notes[0]
    assert runner.batches[0].laps == [1, *[STEPS] * LAPS] and runner.batches[0].left == 0


def test_on_a_busy_host_nothing_is_timed() -> None:
    runner = clockwork(lambda size: 0.02, FakeHost(lambda clock: 1.0))
    said = "Batches of 2 sequences and more were not timed: other work on the host disturbed the benchmark."
    assert batches(runner) == Batches({}, (said,), interrupted=True)


def test_without_time_to_wait_batches_are_timed_on_a_quiet_host() -> None:
    runner = clockwork(lambda size: 0.02)
    watch = Stopwatch(2, 0.0, read=runner.host.read, sleep=runner.host.sleep)
    found = time_batches(runner, PROMPTS, ALONE, 100.0, 8 * GB, watch, lambda: GB)
    assert size_of(found) == 16 and not found.interrupted


def test_a_host_that_becomes_busy_keeps_what_was_timed() -> None:
    runner = clockwork(lambda size: 0.02, FakeHost(lambda clock: 1.0 if clock > 1.3 else 0.0))
    found = batches(runner)
    assert size_of(found) == 2 and found.interrupted
    assert found.notes[1].startswith("Batches of 4 sequences and more were not timed: other work")
    assert timed(runner) == [2, 4]


def test_a_batch_that_fails_in_its_first_step_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: ClockworkBatch, steps: int) -> Steps:
        raise Unsupported("no such kernel")

    monkeypatch.setattr(ClockworkBatch, "generate", fail)
    runner = clockwork(lambda size: 0.02)
    found = batches(runner)
    assert found == Batches({}, ("Batches of 2 sequences and more were not timed: no such kernel.",))
    assert timed(runner) == [2]
