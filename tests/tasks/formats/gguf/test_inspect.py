"""Facts of a GGUF artifact from its header."""

import math
from pathlib import Path
from typing import Any

import pytest

from tasks.engines.llama_cpp.usage import TWO_SETS
from tasks.errors import Corrupt
from tasks.formats.gguf.ends import END_IDS
from tasks.formats.gguf.inspect import inspect
from tests.tasks.formats.gguf.writer import write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.context_length": 256,
    "llama.rope.freq_base": 500000.0,
    "llama.rope.scaling.type": "yarn",
    "llama.rope.scaling.factor": 4.0,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.chat_template": "{{ messages }}",
}


def test_facts(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny-F16.gguf", METADATA, {"token_embd.weight": (32, 3), "rope_freqs.weight": (8,)})
    assert inspect(tmp_path) == {
        "file": "tiny-F16.gguf",
        "size_bytes": path.stat().st_size,
        "architecture": "llama",
        "parameters": 104,
        "bits_per_weight": 32.0,
        "tensor_types": {"f32": 2},
        "context_length": 256,
        "vocabulary_size": 3,
        "tokenizer": "gpt2",
        "pre_tokenizer": {"name": "qwen2"},
        "rope": {"theta": 500000.0, "scaling": "yarn", "factor": 4.0, "frequencies": "per dimension"},
        "latent_attention": False,
        "recurrent": False,
        "chat_template": True,
        "bos": 0,
        "eos": None,
        "add_bos": True,
    }


def test_bits_are_counted_over_all_weights_to_four_places(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": (32, 3), "output_norm.weight": (12,)}
    write_gguf(tmp_path / "tiny.gguf", METADATA, tensors, {"token_embd.weight": "q8_0"})
    facts = inspect(tmp_path)
    assert facts["bits_per_weight"] == 11.1111  # 3 blocks of 34 bytes and 12 floats, for 108 weights
    assert "frequencies" not in facts["rope"]


def test_latent_attention_is_a_fact(tmp_path: Path) -> None:
    metadata = {**METADATA, "llama.attention.key_length_mla": 64}
    write_gguf(tmp_path / "tiny-F16.gguf", metadata, {"token_embd.weight": (32, 3)})
    assert inspect(tmp_path)["latent_attention"] is True


@pytest.mark.parametrize("key", ["ssm.state_size", "wkv.head_size", "shortconv.l_cache"])
def test_layers_with_a_state_for_each_sequence_are_a_fact(tmp_path: Path, key: str) -> None:
    write_gguf(tmp_path / "tiny-F16.gguf", {**METADATA, f"llama.{key}": 16}, {"token_embd.weight": (32, 3)})
    assert inspect(tmp_path)["recurrent"] is True


def test_two_sets_of_rotary_factors_are_a_fact(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": (32, 3), "rope_factors_long.weight": (8,), "rope_factors_short.weight": (8,)}
    write_gguf(tmp_path / "tiny-F16.gguf", METADATA, tensors)
    assert inspect(tmp_path)["rope"]["frequencies"] == TWO_SETS


@pytest.mark.parametrize("kind", ["eos", "eot", "eom"])
def test_a_file_that_ends_where_it_does_not_say_so_is_refused(tmp_path: Path, kind: str) -> None:
    tensors = {"token_embd.weight": (32, 3)}
    for stated in ("0,1", ""):
        write_gguf(tmp_path / "tiny.gguf", {**METADATA, END_IDS: stated, f"tokenizer.ggml.{kind}_token_id": 1}, tensors)
        inspect(tmp_path)
    write_gguf(tmp_path / "tiny.gguf", {**METADATA, END_IDS: "0,1", f"tokenizer.ggml.{kind}_token_id": 2}, tensors)
    with pytest.raises(Corrupt, match=f"has the {kind} token 2, but {END_IDS} names 0,1"):
        inspect(tmp_path)


def test_a_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "vocabulary.gguf", METADATA, {})
    with pytest.raises(Corrupt, match="has no architecture or no tensors"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"tokenizer.ggml.tokens": ["<s>", "a"]}, "has 2 tokens, but token_embd.weight has 3 rows"),
        *(
            ({f"tokenizer.ggml.{key}_token_id": 3}, f"has the {key} token 3, but only 3 tokens")
            for key in ("bos", "eos", "eot", "unknown", "padding")
        ),
        ({"tokenizer.ggml.eos_token_id": -1.0}, "has the eos token -1.0, but only 3 tokens"),
        ({"llama.attention.layer_norm_rms_epsilon": math.nan}, "has the value nan for 'llama.attention.layer_norm_rms"),
        ({"llama.rope.freq_base": math.inf}, "has the value inf for 'llama.rope.freq_base'"),
        ({"llama.context_length": 0}, "has the value 0 for llama.context_length"),
        ({"llama.rope.freq_base": 0.0}, "has the value 0.0 for llama.rope.freq_base"),
        ({"llama.rope.freq_base": -1.0}, "has the value -1.0 for llama.rope.freq_base"),
        ({"llama.rope.scaling.factor": -1.0}, "has the value -1.0 for llama.rope.scaling.factor"),
    ],
)
def test_numbers_that_no_model_can_have_are_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    write_gguf(tmp_path / "tiny.gguf", {**METADATA, **changes}, {"token_embd.weight": (32, 3)})
    with pytest.raises(
        Corrupt, match=rf"^tiny\.gguf {fault}.*, which no engine can run; run the release again with 'force'"
    ):
        inspect(tmp_path)


def test_a_declared_type_that_the_tensors_do_not_have_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", {**METADATA, "general.file_type": 7}, {"token_embd.weight": (32, 3)})
    with pytest.raises(Corrupt, match="declares the type q8_0, but tensor 'token_embd.weight' is stored in f32"):
        inspect(tmp_path)


def test_numbers_at_their_bounds_pass(tmp_path: Path) -> None:
    bounds = {"tokenizer.ggml.eos_token_id": 2, "llama.context_length": 1, "llama.rope.scaling.factor": 0.0}
    write_gguf(tmp_path / "tiny.gguf", {**METADATA, **bounds}, {"token_embd.weight": (32, 3)})
    facts = inspect(tmp_path)
    assert (facts["eos"], facts["context_length"], facts["rope"]["factor"]) == (2, 1, 0.0)


def test_a_vocabulary_may_be_missing(tmp_path: Path) -> None:
    metadata = {key: value for key, value in METADATA.items() if not key.startswith("tokenizer.ggml.")}
    write_gguf(tmp_path / "tiny.gguf", metadata, {"token_embd.weight": (32, 3)})
    assert inspect(tmp_path)["vocabulary_size"] is None


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_there_is_one_file(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_gguf(tmp_path / name, METADATA, {"token_embd.weight": (32, 3)})
    with pytest.raises(Corrupt, match=r"a\.gguf, b\.gguf" if names else "none"):
        inspect(tmp_path)
