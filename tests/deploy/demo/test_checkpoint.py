"""The committed checkpoint is what its card says, read from its files alone."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "deploy" / "demo" / "hub" / "hallmark" / "tiny-tales"


def header() -> dict[str, Any]:
    with (FOLDER / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        parsed: dict[str, Any] = json.loads(file.read(length))
    return parsed


def tensors() -> dict[str, Any]:
    return {name: entry for name, entry in header().items() if name != "__metadata__"}


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def test_every_weight_is_bfloat16_and_the_file_about_four_megabytes() -> None:
    assert {entry["dtype"] for entry in tensors().values()} == {"BF16"}
    assert 4.0e6 < (FOLDER / "model.safetensors").stat().st_size < 4.5e6


def test_every_row_is_a_multiple_of_256() -> None:
    matrices = {name: entry["shape"] for name, entry in tensors().items() if len(entry["shape"]) == 2}
    assert len(matrices) == 15
    assert not {name: shape for name, shape in matrices.items() if shape[1] % 256}


def test_the_architecture_groups_its_queries_and_ties_its_embeddings() -> None:
    config = load("config.json")
    assert config["num_key_value_heads"] < config["num_attention_heads"]
    assert config["tie_word_embeddings"]
    assert "lm_head.weight" not in tensors()
    assert tensors()["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]


def test_no_weight_is_missing_or_not_finite() -> None:
    start = 8 + struct.unpack("<Q", (FOLDER / "model.safetensors").read_bytes()[:8])[0]
    data = (FOLDER / "model.safetensors").read_bytes()[start:]
    assert len(data) == max(entry["data_offsets"][1] for entry in tensors().values())
    # A bfloat16 is not finite where all eight bits of its exponent are set.
    exponents = [value & 0x7F80 for (value,) in struct.iter_unpack("<H", data)]
    assert 0x7F80 not in exponents
    assert len(set(exponents)) > 8


def test_tokenizer_config_and_generation_agree() -> None:
    tokenizer, config = load("tokenizer.json"), load("config.json")
    ids = tokenizer["model"]["vocab"]
    assert len(ids) == config["vocab_size"]
    names = load("tokenizer_config.json")
    for name in ("bos", "eos", "pad"):
        assert ids[names[f"{name}_token"]] == config[f"{name}_token_id"]
    assert load("generation_config.json")["eos_token_id"] == [ids["<|endoftext|>"], ids["<|im_end|>"]]
    assert names["model_max_length"] == config["max_position_embeddings"]


@pytest.mark.parametrize("word", ["license: apache-2.0", "times better", "| all |", "pipeline("])
def test_the_card_has_its_licence_and_figures(word: str) -> None:
    assert word in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_licence_is_there() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
