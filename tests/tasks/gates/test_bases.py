"""What is made from a blocked base is blocked with its reason, unless only the base's size or speed was at fault."""

import pytest

from tasks.gates.bases import JudgedBase, blocking_bases
from tasks.gates.verdict import Answer, Rule, Verdict

BASE = JudgedBase(target="gguf-f16", verdict="base:gguf-f16")


def answer(metric: str, outcome: str) -> Answer:
    rule = Rule(metric=metric, maximum=1, reason="a bound for this test")
    return Answer.model_validate({"rule": rule, "outcome": outcome, "seen": 2.0, "why": f"{metric} 2 > 1"})


def verdict(*answers: Answer, bases: dict[str, str] | None = None) -> Verdict:
    passed = not bases and any(each.outcome == "pass" for each in answers)
    passed = passed and all(each.outcome != "fail" for each in answers)
    return Verdict(target="gguf-f16", artifact="1", files_digest="2", passed=passed, answers=answers, bases=bases or {})


def blocking(found: Verdict) -> dict[str, str]:
    return blocking_bases((BASE,), {"base:gguf-f16": found})


def test_a_base_that_passed_blocks_nothing() -> None:
    assert blocking(verdict(answer("kld_mean", "pass"), answer("chat_template_parity", "not applicable"))) == {}


def test_a_blocked_base_blocks_with_its_reason() -> None:
    found = verdict(answer("kld_mean", "fail"), answer("tokenizer_parity", "fail"), answer("kld_p99", "pass"))
    assert blocking(found) == {"gguf-f16": "was blocked: kld_mean 2 > 1; tokenizer_parity 2 > 1"}


@pytest.mark.parametrize("metric", ["decode_tokens_per_second", "peak_memory_bytes", "size_bytes", "bits_per_weight"])
def test_a_base_that_is_too_slow_or_too_large_blocks_nothing(metric: str) -> None:
    """That is why it is quantized."""
    assert blocking(verdict(answer(metric, "fail"), answer("kld_mean", "pass"))) == {}
    assert blocking(verdict(answer(metric, "fail"), answer("kld_mean", "fail"))) == {
        "gguf-f16": "was blocked: kld_mean 2 > 1"
    }


def test_a_base_blocks_through_a_base_between() -> None:
    between = {"x-base": "was blocked: kld_mean 2 > 1"}
    said = {"gguf-f16": "was blocked: made from x-base, which was blocked: kld_mean 2 > 1"}
    assert blocking(verdict(answer("kld_mean", "pass"), bases=between)) == said
    assert blocking(verdict(answer("decode_tokens_per_second", "fail"), bases=between)) == said


def test_a_base_on_which_no_gate_could_be_applied_blocks() -> None:
    assert blocking(verdict(answer("chat_template_parity", "not applicable"))) == {
        "gguf-f16": "was blocked: no gate is applicable, so nothing is proven"
    }


def test_a_base_without_a_verdict_blocks() -> None:
    failed = BASE.model_copy(update={"failure": "evaluate: the engine died"})
    assert blocking_bases((failed,), {}) == {"gguf-f16": "has no verdict: evaluate: the engine died"}
    assert blocking_bases((BASE,), {})["gguf-f16"].startswith("has no verdict: a task before")


def test_each_proof_of_a_base_counts_and_the_same_reason_is_said_once() -> None:
    proofs = tuple(JudgedBase(target="gguf-f16", verdict=f"base:gguf-f16.{pool}") for pool in ("cpu", "gpu", "far"))
    good, bad = verdict(answer("kld_mean", "pass")), verdict(answer("kld_mean", "fail"))
    assert blocking_bases(proofs, dict(zip((each.verdict for each in proofs), (good, bad, bad), strict=True))) == {
        "gguf-f16": "was blocked: kld_mean 2 > 1"
    }
