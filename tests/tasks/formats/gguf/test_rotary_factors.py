"""The factors of rotary frequencies in a file are those of the source's configuration."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.rotary_factors import rotary_factors
from tasks.formats.gguf.tensors import stored_tensors
from tasks.formats.stored import Floats, Source
from tasks.integrity.compare import UNKNOWN, compare
from tasks.integrity.record import Integrity
from tests.tasks.formats.analyses import analysis_with
from tests.tasks.formats.gguf.writer import write_gguf

pytestmark = pytest.mark.runtime("torch")

FREQUENCIES, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
SIZES = {"hidden_size": 256, "num_attention_heads": 4}
CONFIG = {**SIZES, "rope_parameters": LLAMA3}
LISTS = {"long_factor": [1.0, 1.5, 31.25], "short_factor": [1.0, 1.0, 1.25]}


def by_transformers(config: Mapping[str, Any]) -> Floats:
    """Return transformers' frequencies without scaling, divided by those with it."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    made = LlamaConfig(**config)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](made, "cpu")
    size = config.get("head_dim") or made.hidden_size // made.num_attention_heads
    base = made.rope_parameters["rope_theta"]
    plain = base ** (-np.arange(0, size, 2) / size)
    found: Floats = (plain / scaled.numpy()).astype(np.float32)
    return found


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        {**CONFIG, "head_dim": 128},
        {**SIZES, "rope_theta": 500000.0, "rope_scaling": {k: v for k, v in LLAMA3.items() if k != "rope_theta"}},
        {**CONFIG, "rope_parameters": {**LLAMA3, "factor": 32.0}},
        {**CONFIG, "rope_parameters": {**LLAMA3, "low_freq_factor": 2.0, "high_freq_factor": 16.0}},
        {**CONFIG, "rope_parameters": {**LLAMA3, "original_max_position_embeddings": 2048, "rope_theta": 1e4}},
    ],
)
def test_the_factors_are_those_of_transformers(config: dict[str, Any]) -> None:
    assert rotary_factors(FREQUENCIES, config) == pytest.approx(by_transformers(config), rel=2e-6)


def test_the_lists_of_the_configuration_are_the_factors() -> None:
    config = {**SIZES, "rope_scaling": {"type": "longrope", **LISTS}}
    assert rotary_factors(LONG, config) == pytest.approx(LISTS["long_factor"])
    assert rotary_factors(SHORT, config) == pytest.approx(LISTS["short_factor"])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (FREQUENCIES, SIZES),
        (FREQUENCIES, {**SIZES, "rope_parameters": {"rope_type": "proportional", "factor": 8.0}}),
        (FREQUENCIES, {**SIZES, "rope_parameters": {**LLAMA3, "factor": None}}),
        (FREQUENCIES, {**SIZES, "rope_parameters": {**LLAMA3, "high_freq_factor": 1.0}}),
        (FREQUENCIES, {"rope_parameters": LLAMA3}),
        (LONG, CONFIG),
        (LONG, {**SIZES, "rope_parameters": {"long_factor": ["a"]}}),
        ("token_embd.weight", {**CONFIG, "rope_scaling": LISTS}),
    ],
)
def test_without_the_fields_there_are_no_factors(name: str, config: dict[str, Any]) -> None:
    assert rotary_factors(name, config) is None


def compared(folder: Path, name: str, factors: Floats, config: Mapping[str, Any], architecture: str) -> Integrity:
    file = write_gguf(folder / "tiny.gguf", {"general.architecture": architecture}, {name: (len(factors),)})
    (tensor,) = read_header(file).tensors
    stored = np.memmap(file, "<f4", "r+", tensor.start, (len(factors),))
    stored[:] = factors
    stored.flush()
    source = Source({}, config, analysis_with())
    return compare("gguf-f16", stored_tensors(folder, source, {}), source, 1, lambda what, share: None)


LONGROPE = {**SIZES, "rope_parameters": {"rope_type": "longrope", **LISTS}}
FILES = [(FREQUENCIES, CONFIG, "llama"), (LONG, LONGROPE, "phi3"), (SHORT, LONGROPE, "phi3")]


def right(name: str, config: Mapping[str, Any]) -> Floats:
    return by_transformers(config) if name == FREQUENCIES else np.array(rotary_factors(name, config))


@pytest.mark.parametrize(("name", "config", "architecture"), FILES)
def test_the_right_factors_are_a_faithful_tensor(
    tmp_path: Path, name: str, config: dict[str, Any], architecture: str
) -> None:
    found = compared(tmp_path, name, right(name, config), config, architecture)
    assert [(tensor.name, tensor.sources, tensor.fault) for tensor in found.tensors] == [(name, ("config.json",), None)]
    assert found.metrics["tensors_covered"].value == 1 and not found.constants


def test_factors_that_another_library_rounds_are_the_source_s_numbers(tmp_path: Path) -> None:
    """The converter computes them in float32, so some differ in their last bits from those that are expected."""
    factors = right(FREQUENCIES, CONFIG)
    found = compared(tmp_path, FREQUENCIES, np.nextafter(factors, np.float32(np.inf)), CONFIG, "llama")
    assert not found.tensors[0].identical and found.tensors[0].fault is None
    assert found.metrics["weights_identical"].value == 1


@pytest.mark.parametrize(("name", "config", "architecture"), FILES)
@pytest.mark.parametrize("fault", ["one factor", "all factors", "none"])
def test_wrong_factors_are_found(
    tmp_path: Path, name: str, config: dict[str, Any], architecture: str, fault: str
) -> None:
    factors = right(name, config).copy()
    if fault == "one factor":
        factors[0] *= np.float32(1.01)
    factors = {"one factor": factors, "all factors": 4 * factors, "none": np.ones_like(factors)}[fault]
    found = compared(tmp_path, name, factors, config, architecture)
    assert name in found.causes["tensors_faithful"]


def test_factors_for_another_length_are_found(tmp_path: Path) -> None:
    other = {**CONFIG, "rope_parameters": {**LLAMA3, "factor": 32.0}}
    found = compared(tmp_path, FREQUENCIES, by_transformers(other), CONFIG, "llama")
    assert found.metrics["tensors_faithful"].value == 0


def test_an_unknown_architecture_may_have_other_factors(tmp_path: Path) -> None:
    found = compared(tmp_path, FREQUENCIES, np.ones(32, np.float32), CONFIG, "step35")
    assert found.not_compared == {FREQUENCIES: UNKNOWN} and not found.causes


def test_factors_that_nothing_explains_are_a_constant(tmp_path: Path) -> None:
    found = compared(tmp_path, FREQUENCIES, np.full(32, math.e, np.float32), SIZES, "llama")
    assert set(found.constants) == {FREQUENCIES}
