"""Speeds are medians of quiet repetitions, as many as they need; what was disturbed is said to be."""

from collections.abc import Collection, Sequence

import numpy as np
import pytest

from tasks.engines.runner import Enough, Generation
from tasks.errors import Unmeasured
from tasks.evaluation.speed import (
    FEWEST,
    MOST,
    Timing,
    Untimed,
    Workload,
    peak_memory,
    time_generation,
    time_long_prompt,
)
from tasks.host.facts import WAIT_SECONDS
from tasks.host.stopwatch import Stopwatch
from tests.fixtures.hosts import FakeHost
from tests.tasks.evaluation.toy import Clockwork

PROMPT = list(range(8))


def ignore(message: str, fraction: float | None = None) -> None:
    """Progress that nobody watches."""


def timing(runner: Clockwork, tokens: int = 9, repetitions: int = 5, seconds: float = 60.0) -> Timing:
    return time_generation(runner, Workload(PROMPT, tokens, repetitions, seconds), runner.host.stopwatch(), ignore)


def test_speeds_come_from_the_tokens_times() -> None:
    runner = Clockwork()
    found = timing(runner)
    metrics = found.metrics
    assert metrics["time_to_first_token_ms"].value == pytest.approx(500)
    assert metrics["prefill_tokens_per_second"].value == pytest.approx(16)
    assert metrics["decode_tokens_per_second"].value == pytest.approx(8 / 0.12)
    assert metrics["inter_token_p50_ms"].value == pytest.approx(10)
    assert metrics["inter_token_p95_ms"].value == pytest.approx(10 + 40 * 0.65)
    assert all(measured.observations == 5 for measured in metrics.values())
    assert all(measured.standard_error == pytest.approx(0) for measured in metrics.values())
    assert (found.generated_tokens, found.repetitions, found.disturbed) == (9, 5, None)
    assert runner.calls == [(8, 9, 0)] * 6  # one run fills caches, and no stop id ends one early


def test_it_is_repeated_until_the_median_is_precise() -> None:
    """Every other repetition takes a tenth longer."""
    found = timing(Clockwork(pace=lambda call: 1.0 + 0.1 * (call % 2)))
    decode = found.metrics["decode_tokens_per_second"]
    assert 5 < found.repetitions < MOST and decode.standard_error
    assert decode.standard_error / decode.value <= 0.02
    assert found.disturbed is None


def test_the_most_repetitions_are_bounded() -> None:
    runner = Clockwork(pace=lambda call: 1.0 + (call % 2))
    assert timing(runner, seconds=1e6).repetitions == MOST
    assert len(runner.calls) == MOST + 1


def test_a_slow_model_is_repeated_until_the_time_is_up() -> None:
    """A repetition of nine tokens takes 0.62 s; the time is not waited for, and three are the fewest."""
    assert timing(Clockwork(), seconds=2.4).repetitions == 4
    assert timing(Clockwork(), seconds=0.0).repetitions == FEWEST


@pytest.mark.parametrize(("seconds", "tokens"), [(1.5, 64), (1.0, 32), (0.7, 16), (0.1, 16)])
def test_a_slow_model_generates_fewer_tokens(seconds: float, tokens: int) -> None:
    """64 tokens take 0.5 + 63 x 0.01 s, and a little more."""
    runner = Clockwork()
    assert timing(runner, tokens=64, seconds=seconds).generated_tokens == tokens
    assert runner.calls[0] == (8, 16, 0) and set(runner.calls[1:]) == {(8, tokens, 0)}


def test_repetitions_that_were_disturbed_do_not_count() -> None:
    # The second repetition begins at 1.74 s. The fourth begins at 4.72 s, after a look at the host.
    host = FakeHost(lambda clock: 1.0 if 1.7 < clock < 2.0 or 4.7 < clock < 5.0 else 0.0)
    runner = Clockwork(host, pace=lambda call: 3.0 if call in (2, 4) else 1.0)
    found = timing(runner)
    assert found.disturbed is None and found.repetitions == 5 and len(runner.calls) == 8
    assert found.metrics["decode_tokens_per_second"].value == pytest.approx(8 / 0.12)
    assert found.metrics["decode_tokens_per_second"].standard_error == pytest.approx(0)


def test_on_a_host_that_stays_busy_it_waits_and_is_disturbed() -> None:
    host = FakeHost(lambda clock: 0.9)
    runner = Clockwork(host)
    found = timing(runner)
    assert found.disturbed == "other processes took 0.9 of 2 cores"
    assert found.repetitions == 2 and len(runner.calls) == 3
    assert host.clock < WAIT_SECONDS + 0.5 + 0.62 * 3 + 0.5


def test_without_time_to_wait_a_quiet_timing_is_not_disturbed() -> None:
    """A load used up the time to wait."""
    host = FakeHost(lambda clock: 1.0 if clock < 30.0 else 0.0)
    watch = host.stopwatch()
    watch.time(lambda: host.work(20.0))
    assert not watch.may_wait and host.clock > 30.0
    found = time_generation(Clockwork(host), Workload(PROMPT, 9, 5, 60.0), watch, ignore)
    assert found.disturbed is None and found.repetitions == FEWEST


def test_what_differs_much_is_disturbed_though_nothing_was_seen() -> None:
    found = timing(Clockwork(pace=lambda call: 1.0 + 2 * (call % 2)), seconds=3.0)
    assert found.disturbed and found.disturbed.startswith("its repetitions differ: the standard error of decode is ")


def test_a_long_prompt_is_not_timed_where_that_is_dear_or_the_host_busy() -> None:
    runner = Clockwork()
    watch = runner.host.stopwatch()
    prompt = PROMPT * 8
    timed = time_long_prompt(runner, prompt, 64.0, 3.0, watch)
    assert not isinstance(timed, Untimed) and (timed.value, timed.observations) == (128, FEWEST)
    slow = "A prompt of 64 tokens was not timed: it would take longer than the 3 s that a benchmark spends on it."
    assert time_long_prompt(runner, prompt, 63.0, 3.0, watch) == Untimed(slow)
    busy = Clockwork(FakeHost(lambda clock: 1.0))
    untimed = "A prompt of 64 tokens was not timed: other work on the host disturbed the benchmark."
    found = time_long_prompt(busy, prompt, 64.0, 3.0, busy.host.stopwatch())
    assert found == Untimed(untimed, interrupted=True)
    runner.context_length = 64
    assert time_long_prompt(runner, prompt, 64.0, 3.0, watch) == Untimed(
        "A prompt of 64 tokens was not timed: the context has 64 tokens."
    )


def test_without_time_to_wait_a_long_prompt_is_timed_on_a_quiet_host() -> None:
    host = FakeHost(lambda clock: 1.0 if clock > 3.0 else 0.0)
    watch = Stopwatch(2, 0.0, read=host.read, sleep=host.sleep)
    assert not isinstance(time_long_prompt(Clockwork(host), PROMPT, 8.0, 3.0, watch), Untimed)
    host.clock = 3.1
    runner = Clockwork(host)
    found = time_long_prompt(runner, PROMPT, 8.0, 3.0, watch)
    assert isinstance(found, Untimed) and found.interrupted and len(runner.calls) == 1


@pytest.mark.parametrize(("busy_from", "disturbed", "repetitions"), [(1.8, True, 4), (2.4, False, 3)])
def test_repetitions_end_with_the_time_to_wait(busy_from: float, disturbed: bool, repetitions: int) -> None:
    """Two repetitions, or three, are quiet, and then the host is busy for ever."""
    host = FakeHost(lambda clock: 1.0 if clock > busy_from else 0.0)
    found = timing(Clockwork(host))
    assert bool(found.disturbed) == disturbed and found.repetitions == repetitions
    assert host.clock < 2.4 + WAIT_SECONDS + 3 * 0.62 + 1.0


def test_a_disturbed_repetition_shortens_those_that_follow() -> None:
    """At an eighth of its pace, 64 tokens take 9 s, beyond the 5 s of a repetition."""
    host = FakeHost(lambda clock: 1.5 if clock > 2.0 else 0.0)
    runner = Clockwork(host, pace=lambda call: 8.0 if call > 1 else 1.0)
    found = timing(runner, tokens=64, seconds=5.0)
    assert (found.generated_tokens, found.repetitions) == (16, 3)
    assert runner.calls[2:4] == [(8, 64, 0), (8, 16, 0)]


def test_an_engine_that_stops_early_is_not_timed() -> None:
    class Stopping(Clockwork):
        def generate(
            self,
            token_ids: Sequence[int],
            max_tokens: int,
            stop_ids: Collection[int] = (),
            enough: Enough | None = None,
        ) -> Generation:
            return super().generate(token_ids, max_tokens - 1, stop_ids, enough)

    with pytest.raises(Unmeasured, match="generated 8 of 9 tokens"):
        timing(Stopping())


def test_peak_memory_grows_with_what_is_used() -> None:
    before = peak_memory()
    held = np.ones(before // 8 + 10_000_000)
    assert peak_memory() >= before + held.nbytes // 2
