"""Each rule answers by the number it was made for, and says in one line what it saw."""

import pytest

from tasks.evaluation.measurement import Comparison, Interval, Measurement
from tasks.gates.rules import apply
from tasks.gates.verdict import Rule
from tasks.gates.wording import say


def at_most(metric: str, bound: float) -> Rule:
    return Rule(metric=metric, maximum=bound, reason="a bound for this test")


def at_least(metric: str, bound: float) -> Rule:
    return Rule(metric=metric, minimum=bound, reason="a bound for this test")


@pytest.mark.parametrize(
    ("rule", "value", "error", "outcome", "why"),
    [
        (at_most("kld_mean", 0.05), 0.059, 0.002, "fail", "KLD mean 0.059 ± 0.002 > 0.05"),
        (at_most("kld_mean", 0.05), 0.0123, 0.0014, "pass", "KLD mean 0.0123 ± 0.0014 ≤ 0.05"),
        (at_most("kld_mean", 0.05), 0.05, 0.0, "pass", "KLD mean 0.0500 ≤ 0.05"),
        (at_most("kld_p99", 0.6), 0.91, None, "fail", "KLD p99 0.910 > 0.6"),
        (at_least("top1_agreement", 0.95), 0.912, 0.003, "fail", "top-1 agreement 91.2 ± 0.3% < 95%"),
        (at_least("tokenizer_parity", 1.0), 0.998, None, "fail", "tokenizer parity 99.8% < 100%"),
        (at_least("tokenizer_parity", 1.0), 1.0, None, "pass", "tokenizer parity 100% ≥ 100%"),
        (at_most("size_bytes", 2e6), 2_500_000, None, "fail", "size 2.50 MB > 2 MB"),
    ],
)
def test_answer(rule: Rule, value: float, error: float | None, outcome: str, why: str) -> None:
    answer = apply(rule, {rule.metric: Measurement(value=value, standard_error=error)})
    assert (answer.outcome, answer.why, answer.seen) == (outcome, why, value)


def test_a_number_is_never_rounded_into_its_bound() -> None:
    answer = apply(at_least("tokenizer_parity", 1.0), {"tokenizer_parity": Measurement(value=0.99996)})
    assert answer.outcome == "fail"
    assert answer.why == "tokenizer parity 99.996% < 100%"


def test_what_may_be_chance_is_said_to_be_near() -> None:
    answer = apply(at_most("kld_mean", 0.05), {"kld_mean": Measurement(value=0.0503, standard_error=0.002)})
    assert answer.outcome == "fail"
    assert answer.why == "KLD mean 0.0503 ± 0.0020 > 0.05 (within 2 standard errors of the bound)"


@pytest.mark.parametrize(
    ("value", "near"), [(0.0461, True), (0.0459, False), (0.0539, True), (0.0541, False), (0.099, False)]
)
def test_near_is_within_two_standard_errors_on_either_side(value: float, near: bool) -> None:
    answer = apply(at_most("kld_mean", 0.05), {"kld_mean": Measurement(value=value, standard_error=0.002)})
    assert ("within 2 standard errors" in answer.why) == near


def test_what_was_not_measured_fails() -> None:
    answer = apply(at_most("kld_mean", 0.05), {"kld_median": Measurement(value=0.01)})
    assert (answer.outcome, answer.seen, answer.why) == ("fail", None, "KLD mean was not measured")


def test_a_known_cause_says_why_a_number_was_not_measured() -> None:
    why = apply(at_least("answer_recall", 0.5), {}, causes={"answer_recall": "the text asks no questions"}).why
    assert why == "answer recall was not measured: the text asks no questions; remove this gate of the target"


def test_only_a_parity_that_does_not_exist_is_not_applicable() -> None:
    absent = ["chat_template_parity", "kld_mean"]
    assert apply(at_least("chat_template_parity", 1.0), {}, absent).outcome == "not applicable"
    assert apply(at_least("chat_template_parity", 1.0), {}).outcome == "fail"
    assert apply(at_most("kld_mean", 0.05), {}, absent).outcome == "fail"
    measured = {"chat_template_parity": Measurement(value=0.5)}
    assert apply(at_least("chat_template_parity", 1.0), measured, absent).outcome == "fail"


BUSY = "other processes took 0.9 of 2 cores"


@pytest.mark.parametrize(
    ("rule", "value", "alone", "disturbed"),
    [
        (at_least("decode_tokens_per_second", 10), 9.0, "fail", "undecided"),
        (at_least("decode_tokens_per_second", 10), 11.0, "pass", "pass"),
        (at_most("decode_tokens_per_second", 10), 9.0, "pass", "undecided"),
        (at_most("decode_tokens_per_second", 10), 11.0, "fail", "fail"),
        (at_most("load_seconds", 10), 11.0, "fail", "undecided"),
        (at_most("load_seconds", 10), 9.0, "pass", "pass"),
        (at_least("time_to_first_token_ms", 10), 11.0, "pass", "undecided"),
        (at_most("peak_memory_bytes", 10), 11.0, "fail", "fail"),
        (at_most("kld_mean", 0.05), 0.06, "fail", "fail"),
    ],
)
def test_a_disturbed_timing_decides_only_what_the_disturbance_cannot_have_made(
    rule: Rule, value: float, alone: str, disturbed: str
) -> None:
    """A disturbance makes an engine slower and never faster."""
    metrics = {rule.metric: Measurement(value=value)}
    assert apply(rule, metrics).outcome == alone
    answer = apply(rule, metrics, disturbed=BUSY)
    assert answer.outcome == disturbed and answer.seen == value
    assert (BUSY in answer.why) == (disturbed == "undecided")


@pytest.mark.parametrize("metric", ["batch_decode_tokens_per_second", "prefill_2048_tokens_per_second"])
def test_an_interrupted_timing_never_fails(metric: str) -> None:
    rule, interrupted = at_least(metric, 10), [metric]
    assert apply(rule, {}).outcome == "fail"
    answer = apply(rule, {}, interrupted=interrupted)
    assert (answer.outcome, answer.seen) == ("undecided", None)
    assert answer.why.endswith(
        " was not timed: other work on the host interrupted the benchmark; run the release again on a quiet host"
    )
    measured = {metric: Measurement(value=9.0)}
    assert apply(rule, measured, interrupted=interrupted).outcome == "undecided"
    assert apply(rule, {metric: Measurement(value=11.0)}, interrupted=interrupted).outcome == "pass"
    assert apply(rule, measured, interrupted=["load_seconds"]).outcome == "fail"


def test_an_undecided_gate_says_what_to_do() -> None:
    rule = at_least("decode_tokens_per_second", 1)
    answer = apply(rule, {rule.metric: Measurement(value=0.62, standard_error=0.03)}, disturbed=BUSY)
    assert answer.why == (
        "decode 0.62 ± 0.03 tokens/s < 1 tokens/s; not decided: the timing was disturbed (other processes took "
        "0.9 of 2 cores); run the release again on a quiet host"
    )


def test_a_quiet_host_is_no_remedy_for_a_quota() -> None:
    rule = at_least("decode_tokens_per_second", 10)
    quota = "the quota of the control group took 3.1 of 8 cores"
    why = apply(rule, {rule.metric: Measurement(value=9.0)}, disturbed=quota).why
    assert quota in why and "lower 'cores' in [host]" in why and "quiet" not in why


@pytest.mark.parametrize(
    ("metric", "value", "error", "said"),
    [
        ("perplexity", 6.2345, 0.21, "6.234 ± 0.210"),
        ("perplexity", 6.2345, 0.0123, "6.234 ± 0.012"),
        ("decode_tokens_per_second", 1234.5, 31.0, "1234 ± 31 tokens/s"),
        ("kld_max", 0.0, None, "0"),
        ("kld_median", 3.456e-7, None, "3.5e-7"),
        ("kld_mean", 2e-9, 1e-10, "2.0e-9 ± 1.0e-10"),
        ("size_bytes", 4_200_000, None, "4.20 MB"),
    ],
)
def test_digits_follow_the_uncertainty(metric: str, value: float, error: float | None, said: str) -> None:
    assert say(metric, value, error) == said


def compared(low: float, high: float | None, windows: int = 40, metric: str = "kld_mean") -> Comparison:
    return Comparison(windows=windows, available=40, ended="end", intervals={metric: Interval(low=low, high=high)})


@pytest.mark.parametrize(
    ("low", "high", "outcome", "why"),
    [
        (0.041, 0.0499, "pass", "KLD mean 0.049 ± 0.003 ≤ 0.05"),
        (
            0.041,
            0.058,
            "undecided",
            "KLD mean 0.049 ± 0.003, too close to 0.05 to call after 10,200 tokens "
            "(0.041 to 0.058, with 95% certainty); raise 'evaluation.windows' or add evaluation text",
        ),
        (
            0.041,
            None,
            "undecided",
            "KLD mean 0.049 ± 0.003, too close to 0.05 to call after 10,200 tokens "
            "(0.041 or more, with 95% certainty); raise 'evaluation.windows' or add evaluation text",
        ),
    ],
)
def test_an_interval_decides_where_there_is_one(low: float, high: float | None, outcome: str, why: str) -> None:
    measured = {"kld_mean": Measurement(value=0.049, standard_error=0.003, observations=10_200)}
    answer = apply(at_most("kld_mean", 0.05), measured, comparison=compared(low, high))
    assert (answer.outcome, answer.why, answer.seen) == (outcome, why, 0.049)


def test_an_interval_beyond_the_bound_fails_with_the_known_cause() -> None:
    measured = {"top1_agreement": Measurement(value=0.84, standard_error=0.004)}
    comparison = compared(0.82, 0.849, metric="top1_agreement")
    answer = apply(at_least("top1_agreement", 0.85), measured, (), {"top1_agreement": "no window"}, comparison)
    assert (answer.outcome, answer.why) == ("fail", "top-1 agreement 84.0 ± 0.4% < 85%: no window")


def test_a_comparison_that_another_gate_ended_does_not_ask_for_more_text() -> None:
    measured = {"kld_mean": Measurement(value=0.049, standard_error=0.003, observations=2040)}
    answer = apply(at_most("kld_mean", 0.05), measured, comparison=compared(0.03, 0.07, windows=8))
    assert answer.outcome == "undecided"
    assert answer.why == (
        "KLD mean 0.049 ± 0.003, not compared with 0.05 any further after 2,040 tokens, because another gate fails"
    )


def test_without_an_interval_the_number_itself_decides() -> None:
    """All windows were compared because the recipe says so, or no window gives the number."""
    measured = {"kld_long": Measurement(value=0.049, standard_error=0.003)}
    for comparison in (None, compared(0.04, 0.06)):
        assert apply(at_most("kld_long", 0.05), measured, comparison=comparison).outcome == "pass"
