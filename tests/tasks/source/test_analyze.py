"""What is known of checkpoints whose facts are known from their making."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.snapshot import Snapshot
from tasks.source.analyze import analyze_snapshot
from tests.fixtures.checkpoints import (
    HIDDEN,
    LAYERS,
    VOCABULARY,
    llama_tensors,
    make_checkpoint,
    store_head_alone,
    write_json,
)

ELEMENTS = sum(values.size for values in llama_tensors().values())
EMBEDDING = VOCABULARY * HIDDEN


def analysis_of(folder: Path) -> Analysis:
    return analyze_snapshot(Snapshot(folder))


def test_the_facts_of_a_tied_model(tmp_path: Path) -> None:
    assert analysis_of(make_checkpoint(tmp_path / "snapshot")) == Analysis(
        architecture="LlamaForCausalLM",
        model_type="llama",
        parameters=ELEMENTS,
        embedding_parameters=EMBEDDING,
        dtype="bfloat16",
        weight_format="safetensors",
        weight_bytes=2 * ELEMENTS,
        layers=LAYERS,
        hidden_size=HIDDEN,
        heads=4,
        kv_heads=2,
        head_dim=16,
        vocabulary_size=VOCABULARY,
        context_length=512,
        tied_embeddings=True,
        experts=0,
        tokenizer="byte-bpe",
        chat_template=True,
        row_lengths={HIDDEN: 1 + 6 * LAYERS, 128: LAYERS},
        needs_code=False,
    )


@pytest.mark.parametrize("said", [True, None])
def test_a_head_that_is_stored_alone_is_the_embedding(tmp_path: Path, said: bool | None) -> None:
    config = {"tie_word_embeddings": said}
    alone = store_head_alone(make_checkpoint(tmp_path / "alone", config=config))
    assert analysis_of(alone) == analysis_of(make_checkpoint(tmp_path / "both", config=config))


def test_an_untied_head_counts(tmp_path: Path) -> None:
    analysis = analysis_of(make_checkpoint(tmp_path, tied=False, shards=2))
    assert not analysis.tied_embeddings
    assert analysis.parameters == ELEMENTS + EMBEDDING


@pytest.mark.parametrize(("explicit", "stored", "tied"), [(None, True, False), (None, False, True)])
def test_a_tied_head_counts_once(tmp_path: Path, explicit: bool | None, stored: bool, tied: bool) -> None:
    analysis = analysis_of(make_checkpoint(tmp_path, tied=not stored, config={"tie_word_embeddings": explicit}))
    assert analysis.tied_embeddings is tied
    assert analysis.parameters == ELEMENTS + (0 if tied else EMBEDDING)


def test_matrices_are_counted_by_the_length_of_their_rows(tmp_path: Path) -> None:
    analysis = analysis_of(make_checkpoint(tmp_path, hidden=256))
    # The rows of down_proj are as long as the intermediate size, 128.
    assert analysis.row_lengths == {128: LAYERS, 256: 1 + 6 * LAYERS}
    assert (analysis.matrices_outside_blocks(256), analysis.matrices_outside_blocks(32)) == (LAYERS, 0)


def test_buffers_are_no_parameters(tmp_path: Path) -> None:
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)}
    buffers["transformer.h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.float32)
    buffers["transformer.h.0.attn.causal_mask"] = np.ones((1, 1, 8, 8), np.uint8)
    buffers["v_head.summary.weight"] = np.ones((1, 64), np.float32)
    analysis = analysis_of(make_checkpoint(tmp_path, tensors=buffers))
    assert analysis.parameters == ELEMENTS
    assert analysis.matrices == 1 + 7 * LAYERS


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ({"num_local_experts": 8}, "experts", 8),
        ({"num_key_value_heads": None}, "kv_heads", 4),
        ({"num_key_value_heads": None, "multi_query": True}, "kv_heads", 1),
        ({"head_dim": None}, "head_dim", 16),
        ({"max_position_embeddings": None, "n_positions": 99}, "context_length", 99),
        ({"max_position_embeddings": None}, "context_length", 0),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization", "gptq"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "needs_code", True),
        ({"text_config": {"max_position_embeddings": 77}}, "context_length", 77),
        ({"architectures": None}, "architecture", "unknown"),
    ],
)
def test_what_the_configuration_says(tmp_path: Path, config: dict[str, Any], field: str, value: object) -> None:
    assert getattr(analysis_of(make_checkpoint(tmp_path, config=config)), field) == value


def test_the_type_of_most_bytes_counts(tmp_path: Path) -> None:
    assert analysis_of(make_checkpoint(tmp_path, dtype="float32")).dtype == "float32"


@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja", "chat_template.json", None])
def test_where_a_chat_template_may_be(tmp_path: Path, place: str | None) -> None:
    folder = make_checkpoint(tmp_path)
    write_json(folder / "tokenizer_config.json", {})
    if place is not None:
        text = "x" if place.endswith("jinja") else json.dumps({"chat_template": "x"})
        (folder / place).write_text(text)
    assert analysis_of(folder).chat_template is (place is not None)
