"""Every field of transformers' language models that may be a length of change is one, or has a reason why not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tasks.checkpoint.rotary import ORIGINAL
from tasks.evaluation.source_lengths import (
    OTHERS,
    PRODUCTS,
    RATES,
    WINDOWS,
    lengths_of_change,
    windows,
)

pytestmark = pytest.mark.runtime("torch")

pytest.importorskip("transformers")

from transformers import Ministral3Config
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LIKE_A_LENGTH = re.compile(
    "window|chunk|top_?k|original|floor|block|stride|local|len|compress|max_|sparse|budget|distance|extent|segment"
)

NO_LENGTHS = {
    "_sliding_window_pattern": "counts layers",
    "block_multiple_of": "rounds a width",
    "block_size": "BigBird's decoder sees all tokens; MiniMax computes the same in blocks",
    "chunk_size": "recurrences compute the same in chunks",
    "compress_rope_theta": "the base of rotary positions",
    "context_length": "the context itself",
    "index_block_size": "a part of a product",
    "index_topk_blocks": "a part of a product",
    "indexer_compress_ratio": "indexer_budget counts tokens",
    "local_attention": "ModernBERT's sliding_window is made of it",
    "local_layer_ids": "counts layers",
    "mamba_chunk_size": "recurrences compute the same in chunks",
    "mask_feature_length": "for training",
    "mask_time_length": "for training",
    "max_inference_chunksize": "recurrences compute the same in chunks",
    "max_patch_length": "BLT's patches, at every length",
    "max_position_embeddings": "the context itself",
    "max_seq_len": "the context itself",
    "max_source_positions": "the context of an encoder",
    "max_target_positions": "the context itself",
    "max_window_layers": "counts layers",
    "mem_len": "XLNet's memory between texts",
    "model_max_length": "the context itself",
    "moe_topk": "counts experts",
    "mtp_local_layer_ids": "counts layers",
    "n_layers_per_attn_res_block": "counts layers",
    "num_blocks": "counts layers",
    "num_local_experts": "counts experts",
    "num_random_blocks": "BigBird's decoder sees all tokens",
    "prompt_length": "a prefix of every text",
    "reuse_len": "XLNet's memory between texts",
    "segment_types": "counts kinds of segments",
    "sliding_window_pattern": "counts layers",
    "top_k_experts": "counts experts",
    "topk_group": "counts groups of experts",
}

FAMILIES = sorted(name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name != "gemma4_assistant")
"""gemma4_assistant has no configuration of defaults."""


def fields(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields that may hold a number of tokens, and their values, also from within."""
    for name, value in config.items():
        if isinstance(value, dict) and name != RATES and not name.endswith(("label2id", "id2label")):
            yield from fields(value)
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 1):
            yield name, value


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """Return the fields that may be lengths, and the families that have them."""
    found: dict[str, set[str]] = {}
    for family in FAMILIES:
        config = CONFIG_MAPPING[family]().get_text_config(decoder=True)
        for name, _ in fields(vars(config)):
            if LIKE_A_LENGTH.search(name):
                found.setdefault(name, set()).add(family)
    return found


def test_every_field_like_a_length_is_one_or_has_a_reason(found: dict[str, set[str]]) -> None:
    known = {*WINDOWS, *OTHERS, *NO_LENGTHS, *(first for first, _ in PRODUCTS), ORIGINAL}
    assert {name: families for name, families in found.items() if name not in known} == {}


def test_no_field_and_no_reason_is_left_over(found: dict[str, set[str]]) -> None:
    assert {*WINDOWS, *OTHERS, *NO_LENGTHS} - set(found) == set()


def test_the_default_of_a_family_gives_its_length() -> None:
    assert lengths_of_change(Ministral3Config()) == [16384]


def test_every_family_with_layers_of_a_window_has_one() -> None:
    # ModernBERT's class has no such field: it makes one when it reads the configuration.
    for family in set(FAMILIES) - {"modernbert-decoder"}:
        config = CONFIG_MAPPING[family]().get_text_config(decoder=True)
        types = set(vars(config).get("layer_types") or ())
        if any("sliding" in one or "chunked" in one for one in types):
            config.max_position_embeddings = 10**9  # that of some is below their window
            assert windows(config), family
