"""The table of default gates says what it promises: sound files pass, and a file that is one step worse does not."""

import itertools

import pytest

from tasks.evaluation.metrics import METRICS, PARITY_METRICS, SERVER_PARITY
from tasks.formats.base import Precision
from tasks.formats.registry import load_format, parse_target, precision_of
from tasks.gates.defaults import bounds_of, default_rules, default_table, size_classes

LLAMA_3 = {
    "gguf-q8_0": 0.001355,
    "gguf-q6_k": 0.005452,
    "gguf-q5_k_m": 0.010762,
    "gguf-q5_0": 0.022239,
    "gguf-q4_k_m": 0.031273,
    "gguf-q4_k_s": 0.043136,
    "gguf-iq4_xs": 0.036334,
}
"""Mean divergences of Llama 3 8B, as llama.cpp publishes them (tools/perplexity/README.md)."""

LLAMA_2 = {"gguf-q8_0": 0.000369, "gguf-q6_k": 0.002098, "gguf-q4_k_m": 0.012686}
SMOLLM2 = {
    "safetensors-bf16": 0.00117,
    "gguf-q8_0": 0.0046,
    "gguf-q6_k": 0.0122,
    "gguf-q4_k_m": 0.038,
    "onnx-int8": 0.0051,
}
TINY = {
    "gguf-q8_0": 0.0000976,
    "gguf-q6_k": 0.000576,
    "gguf-q5_k_m": 0.00134,
    "gguf-q4_0": 0.00579,
    "onnx-int8": 0.000096,
    "onnx-int8-dynamic": 0.0042,
}
STEPS = [
    ("gguf-q8_0", "gguf-q6_k"),
    ("gguf-q6_k", "gguf-q5_k_m"),
    ("gguf-q5_k_m", "gguf-q4_k_m"),
    ("gguf-q6_k", "gguf-q4_k_m"),
]
WORSE = [
    (8e9, {**LLAMA_3, "gguf-q4_0": 0.071940, "gguf-q3_k_m": 0.101913}, [*STEPS, ("gguf-q4_k_m", "gguf-q4_0")]),
    (7e9, LLAMA_2, [STEPS[0], STEPS[3]]),
    (135e6, {**SMOLLM2, "gguf-q4_0": 0.18}, [STEPS[0], STEPS[3], ("gguf-q4_k_m", "gguf-q4_0")]),
    (2e6, {**TINY, "gguf-q4_k_m": 0.00387, "gguf-q2_k": 0.0456}, [*STEPS, ("gguf-q4_0", "gguf-q2_k")]),
]


def bound(target: str, parameters: float) -> float:
    return bounds_of(precision_of(parse_target(target)), parameters).kld_mean


@pytest.mark.parametrize(("parameters", "seen"), [(8e9, LLAMA_3), (7e9, LLAMA_2), (135e6, SMOLLM2), (2e6, TINY)])
def test_sound_files_pass_with_room(parameters: float, seen: dict[str, float]) -> None:
    for target, kld in seen.items():
        assert 1.1 * kld < bound(target, parameters), target


@pytest.mark.parametrize(("parameters", "seen", "steps"), WORSE)
def test_a_file_one_step_worse_does_not(
    parameters: float, seen: dict[str, float], steps: list[tuple[str, str]]
) -> None:
    for claimed, real in steps:
        assert seen[real] > bound(claimed, parameters), (claimed, real)


def test_bounds_of_a_size_grow_as_bits_fall() -> None:
    for parameters in size_classes().values():
        rows = [bounds_of(Precision(bits), parameters) for bits in (32, 16, 8, 6, 5, 4)]
        for finer, coarser in itertools.pairwise(rows):
            assert finer.kld_mean < coarser.kld_mean
            assert finer.kld_p99 < coarser.kld_p99
            assert finer.top1_agreement >= coarser.top1_agreement
            assert finer.delta_ln_perplexity <= coarser.delta_ln_perplexity


@pytest.mark.parametrize(
    ("bits", "row"), [(32, 32), (24, 16), (16, 16), (12, 8), (8, 8), (7, 6), (6, 6), (5, 5), (4, 4), (3, 4), (2, 4)]
)
def test_a_target_takes_the_row_of_its_bits_or_the_next_fewer(bits: int, row: int) -> None:
    assert bounds_of(Precision(bits), 8e9).bits == row


def test_rounded_activations_have_rows_of_their_own() -> None:
    assert bounds_of(Precision(8, activations=8), 8e9).kld_mean == bounds_of(Precision(4), 8e9).kld_mean


@pytest.mark.parametrize(("parameters", "kld"), [(9_999_999, 0.0004), (10_000_000, 0.008), (5e9, 0.002), (7e11, 0.002)])
def test_a_size_belongs_to_one_class(parameters: float, kld: float) -> None:
    assert bounds_of(Precision(8), parameters).kld_mean == kld


@pytest.mark.parametrize("parameters", [3.08e9, 3.21e9, 3.82e9, 4.02e9, 4.3e9])
def test_models_called_3_b_and_4_b_are_not_held_to_what_7_b_lose(parameters: float) -> None:
    """SmolLM3, Llama 3.2, Phi-3, Qwen3 and Gemma 3."""
    assert bounds_of(Precision(8), parameters) == bounds_of(Precision(8), 135e6) != bounds_of(Precision(8), 7e9)


def test_the_classes_are_named_each_with_a_size_of_its_own() -> None:
    assert size_classes() == {"below 10 M": 9_999_999, "below 5 B": 4_999_999_999, "larger": 5e9}


def test_every_gate_names_a_metric_and_its_evidence() -> None:
    for precision in (Precision(32), Precision(8), Precision(2), Precision(8, activations=8)):
        for parameters in size_classes().values():
            rules = default_rules(precision, parameters)
            assert all(rule.metric in METRICS and rule.targets == "*" for rule in rules)
            assert len({rule.metric for rule in rules}) == len(rules)
    assert default_rules(Precision(8), 8e9)[-1].reason.startswith("8 bits: q8_0 L2 0.0004, L3 0.0014")
    assert default_rules(Precision(2), 8e9)[-1].reason.startswith("below 4 bits as 4 bits: ")
    assert default_rules(Precision(8, activations=8), 1e6)[-1].reason.startswith("8 bits, activations rounded to 8: ")


def test_all_parities_are_gated_but_those_that_an_engine_or_its_server_may_not_reach() -> None:
    gated = set(PARITY_METRICS) - {"tokenizer_parity", SERVER_PARITY}
    assert {metric for metric, _ in default_table().parities} == gated
    rules = [rule for rule in default_rules(Precision(4), 8e9) if rule.metric in gated]
    assert len(rules) == len(gated) and all((rule.minimum, rule.maximum) == (1.0, None) for rule in rules)


def test_only_float32_has_the_noise_of_float32() -> None:
    assert {rule.noise for rule in default_rules(Precision(32), 8e9)} == {None, "single"}
    assert {rule.noise for rule in default_rules(Precision(16), 8e9)} == {None, "half"}


@pytest.mark.parametrize("format", ["safetensors", "gguf", "onnx"])
def test_every_target_that_can_be_released_has_a_precision(format: str) -> None:
    for name in load_format(format).target_names:
        target = parse_target(name)
        assert not target.servable or precision_of(target).weights > 0
