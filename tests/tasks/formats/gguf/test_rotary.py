"""A file from which llama.cpp would take other rotary positions than the source's is refused, with the field."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Unsupported
from tasks.formats.gguf.header import Header, read_header
from tasks.formats.gguf.rotary import check_rotary
from tests.tasks.formats.gguf.writer import write_gguf

YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 128}
WRITTEN = {"type": "yarn", "factor": 4.0, "original_context_length": 128}
USUAL = 0.1 * math.log(4) + 1
"""The factor of yarn's sines and cosines where nothing else is named."""

LONG = {"rope_type": "longrope", "original_max_position_embeddings": 128, "long_factor": [1.0], "short_factor": [1.0]}
LONG_USUAL = math.sqrt(1 + math.log(4) / math.log(128))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def header_with(
    folder: Path, scaling: Mapping[str, Any], architecture: str, tensor: str, others: Mapping[str, Any] | None = None
) -> Header:
    keys = {**(others or {})} | {f"{architecture}.rope.scaling.{key}": value for key, value in scaling.items()}
    keys[f"{architecture}.rope.freq_base"] = 1e6
    path = write_gguf(folder / "tiny.gguf", {"general.architecture": architecture, **keys}, {tensor: (32, 3)})
    return read_header(path)


def check(
    folder: Path,
    parameters: Mapping[str, Any],
    scaling: Mapping[str, Any],
    architecture: str = "llama",
    tensor: str = "token_embd.weight",
) -> None:
    check_rotary(header_with(folder, scaling, architecture, tensor), parameters, 512)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"truncate": False}, "'truncate' of the rotary positions is false, and llama.cpp computes with true"),
        (
            {"attention_factor": 1.0},
            "'attention_factor' of the rotary positions is 1, and llama.cpp computes with 1.13",
        ),
        ({"beta_fast": 16.0}, "'beta_fast' of the rotary positions is 16, and llama.cpp computes with 32"),
        ({"beta_slow": 2}, "'beta_slow' of the rotary positions is 2, and llama.cpp computes with 1"),
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, "'mscale' and 'mscale_all_dim' of the rotary positions is 1, and"),
        ({"factor": 8.0}, "'factor' of the rotary positions is 8, and llama.cpp computes with 4"),
        ({"original_max_position_embeddings": 64}, "'original_max_position_embeddings' of the rotary positions is 64"),
    ],
)
def test_a_field_of_yarn_that_is_lost_is_refused(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=rf"^config\.json: .*{re.escape(words)}.*; leave the gguf targets out"):
        check(folder, {**YARN, **changes}, WRITTEN)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"truncate": True, "beta_fast": 32, "beta_slow": 1.0, "attention_factor": USUAL},
        {"beta_fast": None, "beta_slow": None, "attention_factor": None, "mscale": None},
        # transformers reads them together only.
        {"mscale": 0.7},
        {"mscale_all_dim": 1.0},
    ],
)
def test_yarn_as_llama_cpp_computes_it_passes(folder: Path, changes: dict[str, Any]) -> None:
    check(folder, {**YARN, **changes}, WRITTEN)
    layers = {"full_attention": {**YARN, **changes}, "sliding_attention": {"rope_type": "default"}}
    check(folder, layers, WRITTEN, "olmo2")


def test_another_base_is_refused(folder: Path) -> None:
    with pytest.raises(
        Unsupported, match="'rope_theta' of the rotary positions is 10000, and llama.cpp computes with 1e"
    ):
        check(folder, {"rope_type": "default", "rope_theta": 1e4}, {})
    check(folder, {"rope_type": "dynamic", "rope_theta": 1e4}, {})


@pytest.mark.parametrize(
    ("architecture", "stored", "theta", "engine"),
    [
        ("gemma3", None, 1e4, None),
        ("gemma3", None, 1e6, "10000"),
        ("gemma3", 5e5, 5e5, None),
        ("gemma3", 5e5, 1e4, "500000"),
        ("gemma2", None, 1e6, None),
        ("gemma2", None, 1e4, "1e+06"),
    ],
)
def test_the_base_of_layers_with_a_sliding_window(
    folder: Path, architecture: str, stored: float | None, theta: float, engine: str | None
) -> None:
    keys = {} if stored is None else {f"{architecture}.rope.freq_base_swa": stored}
    header = header_with(folder, {}, architecture, "token_embd.weight", keys)
    layers = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": theta}}
    if engine is None:
        check_rotary(header, layers, 512)
        return
    words = (
        f"layers with a sliding window of the rotary positions is {theta:.6g}, and llama.cpp computes with {engine};"
    )
    with pytest.raises(Unsupported, match=re.escape(words)):
        check_rotary(header, layers, 512)


LINEAR = {"rope_type": "linear", "factor": 8.0}


@pytest.mark.parametrize(
    ("architecture", "full", "sliding", "words"),
    [
        ("gemma3", LINEAR, {"rope_type": "default"}, None),
        ("gemma3", LINEAR, LINEAR, "'rope_type' of layers with a sliding window {} is linear, {} default"),
        ("gemma3", {"rope_type": "default"}, LINEAR, "'rope_type' of layers with a sliding window {} is linear"),
        ("gemma3", {**YARN, "factor": 8.0}, {}, "'rope_type' of layers with a sliding window {} is default, {} yarn"),
        ("olmo2", {**YARN, "factor": 8.0}, {}, None),
        # Here all layers are scaled alike.
        ("cohere2", LINEAR, LINEAR, None),
        ("cohere2", LINEAR, {"rope_type": "default"}, "'rope_type' of layers with a sliding window {} is default, {}"),
        ("cohere2", LINEAR, {**LINEAR, "factor": 4.0}, "'factor' of layers with a sliding window {} is 4, {} 8"),
    ],
)
def test_the_scaling_of_layers_with_a_sliding_window(
    folder: Path, architecture: str, full: dict[str, Any], sliding: dict[str, Any], words: str | None
) -> None:
    stored = {"type": full["rope_type"], "factor": 8.0, "original_context_length": 128}
    layers = {"full_attention": full, "sliding_attention": {"rope_theta": None, **sliding}}
    if words is None:
        return check(folder, layers, stored, architecture)
    with pytest.raises(Unsupported, match=words.format("of the rotary positions", "and llama.cpp computes with")):
        check(folder, layers, stored, architecture)
    return None


def test_a_factor_of_attention_in_the_file_counts(folder: Path) -> None:
    check(folder, {**YARN, "attention_factor": 2 * USUAL}, {**WRITTEN, "attn_factor": 2.0})
    with pytest.raises(
        Unsupported, match=r"the attention factor of the rotary positions is 1\.13.* computes with 2\.27"
    ):
        check(folder, YARN, {**WRITTEN, "attn_factor": 2.0})


@pytest.mark.parametrize(
    ("own", "all_dim", "architecture", "stored", "right"),
    [
        (1.0, 1.0, "mistral3", 1.0, True),
        (0.5, 1.0, "mistral3", 1.0, False),
        (0.707, 0.707, "deepseek2", 0.0707, True),
        (1.0, 1.0, "deepseek2", 0.1, True),
        (1.0, 0.707, "deepseek2", 0.0707, False),
        (1.0, 1.0, "mistral4", 0.1, True),
        (0.5, 0.5, "mistral4", 0.05, False),  # llama.cpp takes the first for 1
        (None, None, "deepseek2", 0.0, False),  # llama.cpp scales the scores of attention all the same
    ],
)
def test_architectures_that_read_mscale(
    folder: Path, own: float | None, all_dim: float | None, architecture: str, stored: float, right: bool
) -> None:
    parameters = {**YARN, "mscale": own, "mscale_all_dim": all_dim}
    scaling = {**WRITTEN, "yarn_log_multiplier": stored}
    if right:
        return check(folder, parameters, scaling, architecture)
    with pytest.raises(Unsupported, match="mscale"):
        check(folder, parameters, scaling, architecture)
    return None


def test_a_field_that_is_missing_is_not_named(folder: Path) -> None:
    with pytest.raises(
        Unsupported, match="'mscale_all_dim' of the rotary positions is not named, and llama.cpp computes"
    ):
        check(folder, YARN, WRITTEN, "deepseek2")


def test_an_architecture_that_reads_the_betas_may_have_its_own(folder: Path) -> None:
    parameters = {**YARN, "beta_fast": 16, "beta_slow": 2}
    check(folder, parameters, {**WRITTEN, "yarn_beta_fast": 16.0, "yarn_beta_slow": 2.0}, "mistral3")
    with pytest.raises(Unsupported, match="'beta_fast' of the rotary positions is 16, and llama.cpp computes with 32"):
        check(folder, parameters, {**WRITTEN, "yarn_beta_fast": 16.0, "yarn_beta_slow": 2.0}, "qwen2")


@pytest.mark.parametrize(
    ("kind", "stored", "tensor"),
    [
        ("yarn", {}, "token_embd.weight"),
        ("linear", {"type": "none", "factor": 4.0}, "token_embd.weight"),
        ("llama3", {}, "token_embd.weight"),
        ("longrope", {"type": "longrope"}, "token_embd.weight"),
    ],
)
def test_a_type_that_the_converter_leaves_out_is_refused(
    folder: Path, kind: str, stored: dict[str, Any], tensor: str
) -> None:
    with pytest.raises(Unsupported, match=f"'rope_type' of the rotary positions is {kind}, and llama.cpp computes"):
        check(folder, {**YARN, **LONG, "rope_type": kind}, stored, tensor=tensor)


@pytest.mark.parametrize(
    ("parameters", "stored", "tensor"),
    [
        ({"rope_type": "default", "rope_theta": 1e6}, {}, "token_embd.weight"),
        ({}, {}, "token_embd.weight"),
        # Nothing changes within the context.
        ({"rope_type": "dynamic", "factor": 4.0}, {}, "token_embd.weight"),
        ({"rope_type": "linear", "factor": 4.0}, {"type": "linear", "factor": 4.0}, "token_embd.weight"),
        ({"rope_type": "llama3", "factor": 8.0}, {}, "rope_freqs.weight"),
    ],
)
def test_what_the_file_states_passes(
    folder: Path, parameters: dict[str, Any], stored: dict[str, Any], tensor: str
) -> None:
    check(folder, parameters, stored, tensor=tensor)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"factor": 4.0}, None),
        ({"attention_factor": LONG_USUAL}, None),
        ({"attention_factor": 1.0}, "'attention_factor' of the rotary positions is 1, and llama.cpp computes with 1.1"),
        ({"factor": 8.0}, "the attention factor of the rotary positions is 1.19"),
        ({"short_mscale": LONG_USUAL, "long_mscale": LONG_USUAL}, None),
        ({"short_mscale": LONG_USUAL, "long_mscale": 1.5}, "'long_mscale' of the rotary positions is 1.5"),
        ({"short_mscale": 1.5, "long_mscale": LONG_USUAL}, "'short_mscale' of the rotary positions is 1.5"),
    ],
)
def test_the_factor_of_attention_of_longrope(folder: Path, changes: dict[str, Any], words: str | None) -> None:
    def checked() -> None:
        check(folder, {**LONG, **changes}, {"attn_factor": LONG_USUAL}, "phi3", "rope_factors_long.weight")

    if words is None:
        return checked()
    with pytest.raises(Unsupported, match=words):
        checked()
    return None
