"""No default bound lies below the source's own noise, and a gate of a recipe keeps the bound that is written there."""

import pytest

from tasks.evaluation.bound import Arithmetic
from tasks.evaluation.measurement import Measurement
from tasks.gates.defaults import DefaultRule
from tasks.gates.noise_floor import in_effect
from tasks.gates.verdict import Rule

NOISE = {
    "noise_kld_mean": Measurement(value=0.002, standard_error=0.0002, observations=2040),
    "noise_kld_p99": Measurement(value=0.012),
    "noise_top1_agreement": Measurement(value=0.96),
    "noise_delta_ln_perplexity": Measurement(value=-0.004),
    "repeat_kld_mean": Measurement(value=4e-6),
}
IDENTICAL = {"weights_identical": Measurement(value=1.0)}


def default(
    metric: str, maximum: float | None = None, minimum: float | None = None, noise: Arithmetic | None = "half"
) -> DefaultRule:
    return DefaultRule(metric=metric, maximum=maximum, minimum=minimum, reason="a bound for this test", noise=noise)


@pytest.mark.parametrize(
    ("rule", "maximum", "minimum"),
    [
        (default("kld_mean", maximum=0.001), 0.003, None),
        (default("kld_long", maximum=0.001), 0.003, None),
        (default("kld_p99", maximum=0.01), 0.018, None),
        (default("top1_agreement", minimum=0.97), None, 0.94),
        (default("delta_ln_perplexity", maximum=0.005), 0.006, None),
        (default("kld_mean", maximum=1e-6, noise="single"), 6e-6, None),
        (default("kld_long", maximum=1e-6, noise="single"), 6e-6, None),
    ],
)
def test_a_bound_below_the_noise_gives_way_to_it(
    rule: DefaultRule, maximum: float | None, minimum: float | None
) -> None:
    found, clause = in_effect(rule, NOISE, "bfloat16")
    assert type(found) is Rule
    assert (found.maximum, found.minimum) == (maximum, minimum)
    assert clause.startswith("1.5 times the source's own noise in ")
    assert found.reason == f"{clause}; a bound for this test"


def test_the_clause_says_where_the_floor_ends() -> None:
    found, clause = in_effect(default("kld_mean", maximum=0.0001), NOISE, "bfloat16")
    assert found.maximum == 0.001
    assert clause == (
        "10 times the default bound, the most that noise raises it to; the source's own in bfloat16 is 0.00200"
    )


def test_the_clause_names_the_noise_and_its_arithmetic() -> None:
    _, clause = in_effect(default("kld_mean", maximum=0.001), NOISE, "bfloat16")
    assert clause == "1.5 times the source's own noise in bfloat16, 0.00200"
    _, clause = in_effect(default("kld_mean", maximum=1e-6, noise="single"), NOISE, "bfloat16")
    assert clause == "1.5 times the source's own noise in float32, run twice, 4.0e-6"


@pytest.mark.parametrize(
    "rule",
    [
        default("kld_mean", maximum=0.05),
        default("top1_agreement", minimum=0.9),
        # Noise in 16 bits loosens no bound of 32 bits.
        default("kld_mean", maximum=1e-4, noise="single"),
        default("kld_p99", maximum=1e-5, noise="single"),
        default("tokenizer_parity_nfc", minimum=1.0, noise=None),
    ],
)
def test_a_bound_above_the_noise_stays(rule: DefaultRule) -> None:
    found, clause = in_effect(rule, NOISE, "bfloat16")
    assert type(found) is Rule
    assert (found, clause) == (Rule(**rule.model_dump(exclude={"noise"})), "")


def test_without_noise_the_bound_stays() -> None:
    assert in_effect(default("kld_mean", maximum=0.001), {})[0].maximum == 0.001


@pytest.mark.parametrize("more", [{}, IDENTICAL])
def test_a_gate_of_the_recipe_keeps_its_bound(more: dict[str, Measurement]) -> None:
    own = Rule(metric="kld_mean", maximum=0.001, reason="a bound for this test")
    assert in_effect(own, {**NOISE, **more}, "bfloat16") == (own, "")


def test_a_file_with_the_sources_weights_passes_by_that_fact_within_a_limit() -> None:
    found, clause = in_effect(default("kld_mean", maximum=0.001), {**NOISE, **IDENTICAL}, "bfloat16")
    assert found.maximum == 0.008
    assert clause == ("4 times the source's own noise in bfloat16, 0.00200; the weights are the source's, bit by bit")


def test_weights_that_are_not_all_the_sources_change_nothing() -> None:
    almost = {"weights_identical": Measurement(value=0.99)}
    assert in_effect(default("kld_mean", maximum=0.001), {**NOISE, **almost}, "bfloat16")[0].maximum == 0.003
