import pytest

from tasks.gates.verdict import Rule
from tasks.gates.wording import say, say_error, say_gates, say_rule, say_value


def rule(metric: str, *, maximum: float | None = None, minimum: float | None = None) -> Rule:
    return Rule(metric=metric, maximum=maximum, minimum=minimum, reason="a reason of some length")


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (0.0591, 0.0021, "0.059 ± 0.002"),
        (0.0591, 0.00164, "0.0591 ± 0.0016"),
        (0.0591, 0.00195, "0.059 ± 0.002"),
        (0.059123, None, "0.0591"),
        (1e-4, None, "0.000100"),
        (9.9e-5, None, "9.9e-5"),
        (-9.9e-5, 1.2e-6, "-9.9e-5 ± 1.2e-6"),
        (1234.5, 30.0, "1234 ± 30"),
        (1234.5, 0.25, "1234.5 ± 0.2"),
        (0.0, None, "0"),
        (0.0, 1.04e-12, "0 ± 1.0e-12"),
        (0.0, 0.002, "0.000 ± 0.002"),
        (1.0, None, "1"),
        (-1.0, None, "-1"),
        (123.456, None, "123"),
        (1234.56, None, "1235"),
        (12345.6, None, "12346"),
    ],
)
def test_a_number_has_the_digits_that_its_error_allows(value: float, error: float | None, said: str) -> None:
    assert say("kld_mean", value, error) == said


@pytest.mark.parametrize(
    ("value", "beside", "said"),
    [
        (0.05004, 0.05, "0.05004"),
        (0.05, 0.05, "0.0500"),
        (1 + 1e-11, 1.0, "1.00000000001"),
        (1 + 1e-12, 1.0, "1.000000000001"),
        (1 + 1e-13, 1.0, "1.000000000000"),
    ],
)
def test_a_number_beside_its_bound_reads_differently_as_far_as_twelve_digits_show(
    value: float, beside: float, said: str
) -> None:
    assert say("kld_mean", value, beside=beside) == said


def test_the_parts_of_a_number_with_an_error() -> None:
    assert say_value("kld_mean", 0.0591, 0.0021) == "0.059"
    assert say_error("kld_mean", 0.0591, 0.0021) == "± 0.002"
    assert say_error("kld_mean", 0.0591, None) == ""
    assert say_error("top1_agreement", 0.9, 0.02) == "± 2", "the unit stands behind the value"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (rule("kld_mean", maximum=0.05), "≤ 0.05"),
        (rule("kld_mean", maximum=0.0), "≤ 0"),
        (rule("top1_agreement", minimum=0.85), "≥ 85%"),
        (rule("delta_ln_perplexity", minimum=0.0), "≥ 0"),
    ],
)
def test_a_rule_is_said_as_its_bound(given: Rule, said: str) -> None:
    assert say_rule(given) == said


def test_gates_are_said_in_one_line_and_whole_parities_are_counted() -> None:
    parities = [rule("tokenizer_parity", minimum=1), rule("chat_template_parity", minimum=1)]
    others = [rule("kld_mean", maximum=0.05), rule("tokenizer_parity", minimum=0.5)]
    said = say_gates([parities[0], *others, parities[1], rule("top1_agreement", minimum=1)])
    assert said == "KLD mean ≤ 0.05; tokenizer parity ≥ 50%; top-1 agreement ≥ 100%; 2 parities ≥ 100%"
    assert say_gates(others[:1]) == "KLD mean ≤ 0.05"
