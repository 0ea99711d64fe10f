import pytest
from pydantic import ValidationError

from tasks.evaluation.bound import Bound
from tasks.gates.verdict import Rule


def test_the_reason_of_a_gate_has_at_least_ten_characters() -> None:
    assert Rule(metric="kld_mean", maximum=0.1, reason="ten of them").reason
    assert Rule(metric="kld_mean", maximum=0.1, reason="1234567890").reason
    with pytest.raises(ValidationError, match="at least 10 characters"):
        Rule(metric="kld_mean", maximum=0.1, reason="123456789")


def test_the_bound_of_a_gate_is_what_it_demands_of_the_number() -> None:
    rule = Rule(metric="kld_mean", maximum=0.1, targets="gguf-*", reason="a reason of some length")
    assert rule.bound == Bound(metric="kld_mean", maximum=0.1)
